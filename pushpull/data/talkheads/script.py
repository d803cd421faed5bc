"""What happens in a clip: who is seen, who is heard, what is said and done. All of a clip follows from its script.

=========  =============================================  ==========================================  ===============
type       picture                                        sound                                       label
=========  =============================================  ==========================================  ===============
in_sync    somebody speaks                                their own voice                             speech activity
turns      speaks and listens in turn                     their own voice and an unseen one's         own speech
dubbed     somebody speaks                                another voice saying something else         0
shifted    somebody speaks                                their own voice, 200-800 ms early or late   0
still      lips rest                                      an unseen voice                             0
gesture    chews, smiles, yawns, licks lips, mouths       an unseen voice, or none                    0
silence    somebody speaks                                nothing, or a room's noise                  0
noise      somebody speaks                                only hiss, hum, babble or music             0
=========  =============================================  ==========================================  ===============

A frame is *speaking* when the voice of the visible person is heard in it, see :func:`sound.speech_activity`.
"""

import itertools
from dataclasses import asdict, dataclass, field, fields, replace

import numpy as np

from pushpull.clip import FPS
from pushpull.data.mix import SHIFT_MS
from pushpull.data.talkheads.sensor import Sensor, draw_sensor
from pushpull.data.talkheads.sound import Recording
from pushpull.data.talkheads.studio import Staging, draw_staging
from pushpull.data.talkheads.text import pick, sentence
from pushpull.data.talkheads.voice import Voice, draw_voice

SPLITS = ("train", "validation", "test")
ACTS = ("chew", "smile", "yawn", "lick", "mouth")
UNSEEN = -1  # the speaker of a turn who is not in the picture
STRANGERS = 4  # voices in a babble
RECORDED_TRACTS = 0.9, 1.12  # factors on every frequency of a recorded voice, and on its speed
SECONDS_PER_TURN = 0.9  # the shortest that a sentence takes, so that enough of them are written


@dataclass(frozen=True)
class HeadMix:
    """How often each type of clip is drawn, relative to the sum of these shares.

    Args:
        in_sync: somebody speaks, and is heard.
        turns: somebody speaks and listens in turn, with an unseen voice.
        dubbed: somebody speaks; another voice saying something else is heard.
        shifted: somebody speaks; their voice is heard 200 to 800 ms early or late.
        still: lips rest; an unseen voice is heard.
        gesture: chews, smiles, yawns, licks lips or mouths; an unseen voice is heard, or none.
        silence: somebody speaks; nothing or a room's noise is heard.
        noise: somebody speaks; only hiss, hum, babble or music is heard.

    Raises:
        ValueError: a share is negative or all are zero.
    """

    in_sync: float = 0.46
    turns: float = 0.10
    dubbed: float = 0.12
    shifted: float = 0.08
    still: float = 0.08
    gesture: float = 0.08
    silence: float = 0.03
    noise: float = 0.05

    def __post_init__(self):
        if min(self.shares) < 0 or sum(self.shares) == 0:
            raise ValueError(f"the shares of a mix must not be negative, nor all zero, got {self}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f.name for f in fields(self))

    @property
    def shares(self) -> tuple[float, ...]:
        return tuple(getattr(self, name) for name in self.names)


@dataclass(frozen=True, kw_only=True)
class Role:
    """Somebody in the picture.

    Args:
        identity: the seed of who it is, see identity.sample_identity.
        voice: how they speak.
        act: what they do with their mouth instead of speaking, one of ACTS; "" for nothing.
        articulation: how far the mouth moves, 0.6 .. 1.4. liveliness: head, brows and gaze, 0.3 .. 1.8.
        smile: 0 .. 0.4, worn throughout.
    """

    identity: int
    voice: Voice
    act: str = ""
    articulation: float = 1.0
    liveliness: float = 1.0
    smile: float = 0.05

    def __post_init__(self):
        if self.act not in ("", *ACTS):
            raise ValueError(f"act is one of {', '.join(ACTS)} or empty, got {self.act!r}")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Somebody says something.

    Args:
        who: number of the role, or UNSEEN.
        text: what. pause: seconds between the end of the turn before (or the clip's start) and this one's first
            sound; negative starts before the clip does.
        lips: the role moves its lips to it. heard: it is in the sound.
    """

    who: int
    text: str
    voice: Voice
    pause: float
    lips: bool = True
    heard: bool = True


@dataclass(frozen=True, kw_only=True)
class Script:
    """A clip before it is played.

    Args:
        seed: of everything that the script leaves open: gestures, blinks, noise's samples, walls.
        kind: see the module. split: of SPLITS; people and voices of one never appear in another.
        seconds: length, a multiple of 0.04.
        roles: who is seen, from left to right.
        threads: chains of turns, each turn after the one before; the chains run side by side.
        shift: seconds by which the sound comes late (negative: early).
        lead: seconds by which lips move before what is heard of them.
        staging: the set. recording, sensor: what microphone and camera do to it.
        strangers: voices in a babble.
    """

    seed: int
    kind: str
    split: str
    seconds: float
    roles: tuple[Role, ...]
    threads: tuple[tuple[Turn, ...], ...]
    shift: float = 0.0
    lead: float = 0.0
    staging: Staging = Staging()
    recording: Recording = Recording()
    sensor: Sensor = Sensor()
    strangers: tuple[Turn, ...] = ()

    def __post_init__(self):
        if self.split not in SPLITS:
            raise ValueError(f"split is one of {', '.join(SPLITS)}, got {self.split!r}")
        if self.frames < 1 or abs(self.seconds * FPS - self.frames) > 1e-6:
            raise ValueError(f"seconds must be a positive multiple of {1 / FPS}, got {self.seconds}")
        if not self.roles:
            raise ValueError("a clip shows at least one role")
        for turn in (turn for thread in self.threads for turn in thread):
            if not UNSEEN <= turn.who < len(self.roles):
                raise ValueError(f"a turn is spoken by role {turn.who}, but there are {len(self.roles)}")

    @property
    def frames(self) -> int:
        return round(self.seconds * FPS)

    def as_dict(self) -> dict:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ScriptOptions:
    """What scripts are drawn from.

    Args:
        seconds: length of every clip.
        people: heads in the picture, 1 to 3; with more than one they take turns.
        identities: how many people each split has; 0: everybody is seen once.
        noisy: how often noise, babble or music is mixed into a clip that has a voice.
        clean_sensor: how often the camera adds nothing.
        lead: lips move before what is heard of them by 0 to this many seconds, drawn for each clip: mouths open before
            they sound, and sound travels to a microphone longer than light to a camera. 0: to the frame.
        recorded: folder of a real voice's recordings, each with its words in NAME.align; "" for none.
        recorded_share: of the clips, how many have that voice. All who are heard in such a clip have it, at pitches of
            their own: else real sound would tell who speaks.
    """

    seconds: float = 3.0
    people: int = 1
    identities: int = 0
    noisy: float = 0.35
    clean_sensor: float = 0.1
    lead: float = 0.06
    recorded: str = ""
    recorded_share: float = 0.5
    mix: HeadMix = field(default_factory=HeadMix)

    def __post_init__(self):
        if not 1 <= self.people <= 3:
            raise ValueError(f"one to three people fit in the picture, got {self.people}")
        if not 0.2 <= self.seconds <= 600:
            raise ValueError(f"clips last 0.2 to 600 s, got {self.seconds}")
        if not 0 <= self.lead <= 0.2:
            raise ValueError(f"lips lead by 0 to 0.2 s, got {self.lead}")
        if not 0 <= self.recorded_share <= 1:
            raise ValueError(f"recorded_share lies in 0..1, got {self.recorded_share}")
        if self.identities < 0 or not 0 <= self.noisy <= 1 or not 0 <= self.clean_sensor <= 1:
            raise ValueError(f"identities must not be negative; noisy and clean_sensor lie in 0..1, got {self}")


def draw_script(seed: int, number: int, split: str, options: ScriptOptions, describe) -> Script:
    """Clip ``number`` of the set ``seed``.

    Args:
        describe: identity seed -> (age in years, gender 0 female .. 1 male), so that voices suit faces.
    """
    rng = np.random.default_rng([seed, number, 11])
    names, shares = options.mix.names, np.array(options.mix.shares)
    kind = "in_sync" if options.people > 1 else names[rng.choice(len(names), p=shares / shares.sum())]
    roles = []
    for place in range(options.people):
        # Divided by three, the remainder says in which split a person is.
        index = number * 3 + place if options.identities == 0 else int(rng.integers(options.identities))
        identity = 3 * (index + 1_000_003 * seed) + SPLITS.index(split)
        age, gender = describe(identity)
        roles.append(_draw_role(rng, identity, draw_voice(rng, split, gender=gender, age=age)))
    if kind == "gesture":
        roles[0] = Role(**{f.name: getattr(roles[0], f.name) for f in fields(Role)} | {"act": pick(rng, ACTS)})
    seconds = round(options.seconds * FPS) / FPS
    own_seed = int(rng.integers(2**31))
    threads = [list(thread) for thread in _draw_threads(rng, kind, split, roles, seconds)]
    # Of a stream of its own, as the lead: everything else of a clip is the same without recordings.
    voices = np.random.default_rng([seed, number, 17])
    if options.recorded and voices.random() < options.recorded_share:
        roles, threads = _recorded(voices, options.recorded, split, roles, threads)
    return Script(
        seed=own_seed,
        kind=kind,
        split=split,
        seconds=seconds,
        roles=tuple(roles),
        threads=tuple(map(tuple, threads)),
        shift=float(rng.choice([-1, 1]) * rng.uniform(*SHIFT_MS) / 1000) if kind == "shifted" else 0.0,
        # Of a stream of its own, so that everything else of a clip is the same with another lead.
        lead=float(np.random.default_rng([seed, number, 13]).uniform(0, options.lead)),
        staging=draw_staging(rng, options.people),
        recording=_draw_recording(rng, kind, options.noisy),
        sensor=Sensor() if rng.random() < options.clean_sensor else draw_sensor(rng),
        strangers=tuple(_draw_strangers(rng, split)),
    )


def _recorded(rng, folder, split, roles, threads):
    """The same clip with a recorded voice in the place of each synthesised one, but for a babble's."""
    from pushpull.data.talkheads.recorded import recordings

    names = recordings(folder, split)
    before = dict.fromkeys([role.voice for role in roles] + [turn.voice for thread in threads for turn in thread])
    now = {v: Voice(engine="recorded", name=folder, tract=float(rng.uniform(*RECORDED_TRACTS))) for v in before}
    order = [names[i] for i in rng.permutation(len(names))]
    texts = itertools.cycle(order)  # nothing is said twice while there is something else to say
    return (
        [replace(role, voice=now[role.voice]) for role in roles],
        [[replace(turn, voice=now[turn.voice], text=next(texts)) for turn in thread] for thread in threads],
    )


def _draw_role(rng, identity, voice):
    return Role(
        identity=identity,
        voice=voice,
        articulation=float(rng.uniform(0.75, 1.35)),
        liveliness=float(rng.uniform(0.5, 1.6)),
        smile=float(max(0.0, rng.uniform(-0.1, 0.3))),
    )


def _draw_threads(rng, kind, split, roles, seconds):
    """Enough to fill the clip and a second after it; the rest is never played."""
    speaker, stranger = roles[0], _unlike(rng, split, roles[0].voice)
    if kind == "still" or (kind == "gesture" and rng.random() < 0.7):
        yield _monologue(rng, UNSEEN, stranger, seconds, lips=False)
    elif kind == "gesture":
        return
    elif kind == "turns" or len(roles) > 1:
        yield _conversation(rng, roles, stranger, seconds)
    else:
        yield _monologue(rng, 0, speaker.voice, seconds, heard=kind in ("in_sync", "shifted"))
        if kind == "dubbed":
            yield _monologue(rng, UNSEEN, stranger, seconds, lips=False)


def _conversation(rng, roles, stranger, seconds):
    cast = [(index, role.voice) for index, role in enumerate(roles)]
    cast += [(UNSEEN, stranger)] if len(roles) == 1 else []
    first = int(rng.integers(len(cast)))
    for count in range(_enough(seconds)):
        who, voice = cast[(first + count) % len(cast)]
        pause = rng.uniform(-0.8, 0.3) if count == 0 else rng.uniform(0.15, 0.6)
        yield Turn(who=who, text=sentence(rng, english=voice.english), voice=voice, pause=float(pause))


def _monologue(rng, who, voice, seconds, *, lips=True, heard=True):
    for count in range(_enough(seconds)):
        # Half of the clips begin in the middle of a sentence, as cut footage does.
        begun = rng.random() < 0.5
        pause = (-rng.uniform(0.3, 1.2) if begun else rng.uniform(0.1, 0.7)) if count == 0 else rng.uniform(0.2, 0.9)
        text = sentence(rng, english=voice.english)
        yield Turn(who=who, text=text, voice=voice, pause=float(pause), lips=lips, heard=heard)


def _enough(seconds):
    return int(np.ceil((seconds + 2) / SECONDS_PER_TURN))


def _unlike(rng, split, voice):
    """Somebody else of the split; half of the time of the same sex, so that pitch does not give it away."""
    for _ in range(20):
        other = draw_voice(rng, split, gender=float(rng.integers(2)), age=float(rng.uniform(20, 70)))
        if other.speaker != voice.speaker:
            break
    return other


def _draw_recording(rng, kind, noisy):
    silent, only_noise = kind == "silence", kind == "noise"
    noise = "none"
    if only_noise or (not silent and rng.random() < noisy):
        noise = str(rng.choice(["hiss", "hum", "babble", "music"], p=[0.25, 0.15, 0.35, 0.25]))
    dead = silent and rng.random() < 0.4
    return Recording(
        reverberation=float(rng.uniform(0.1, 0.6)),
        distance=float(rng.uniform(0, 0.6)),
        noise=noise,
        snr_db=float(rng.uniform(-5, 20)),
        floor_db=-120.0 if dead else float(rng.uniform(-75, -50)),
        level_db=float(rng.uniform(-20, -1)),
    )


def _draw_strangers(rng, split):
    for _ in range(STRANGERS):
        voice = draw_voice(rng, split, gender=float(rng.integers(2)), age=float(rng.uniform(20, 70)))
        text = " ".join(sentence(rng, english=voice.english) for _ in range(2))
        yield Turn(who=UNSEEN, text=text, voice=voice, pause=0.0, lips=False)
