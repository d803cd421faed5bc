"""The sample clips that come with the app, and how they are made: people and voices of the test split."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from pushpull.data.talkheads.make import Studio
from pushpull.data.talkheads.script import UNSEEN, Role, Script, Turn
from pushpull.data.talkheads.sensor import Sensor
from pushpull.data.talkheads.sound import Recording
from pushpull.data.talkheads.studio import Staging
from pushpull.data.talkheads.voice import Voice
from pushpull.files import replacing
from pushpull.media import quantise_audio, read_frames, write_preview

HEIGHT, WIDE = 512, 896  # pixels
SHEET = 200  # pixels, height of a picture on the contact sheet
CRF = 20  # H.264; below it nothing more is to be seen
LICENCE = "CC0-1.0"

RMS = Voice(engine="flite", name="rms")
GRANDE = Voice(engine="espeak", name="m8", language="en-us", pitch=-1.0, pace=0.95)
TRAVIS = Voice(engine="espeak", name="travis", language="en", tract=1.03)
SHELBY = Voice(engine="espeak", name="shelby", language="en-us", pace=0.95)
F5 = Voice(engine="espeak", name="f5", language="en-gb-scotland", pace=0.95)
GIRL = Voice(engine="espeak", name="f5", language="en-us", tract=1.1, pitch=1.0)
CLEAN = Sensor(noise=0.8, blur=0.0008)
ROOM = Recording(reverberation=0.25, distance=0.15, floor_db=-62.0, level_db=-3.0)


@dataclass(frozen=True)
class Sample:
    """A clip of the gallery: file name without ending, what the gallery says, and the script."""

    name: str
    title: str
    caption: str
    script: Script

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return (WIDE if len(self.script.roles) > 1 else HEIGHT, HEIGHT)


def _script(seed, kind, seconds, roles, *threads, staging, recording=ROOM, sensor=CLEAN):
    return Script(
        seed=seed,
        kind=kind,
        split="test",
        seconds=seconds,
        roles=roles,
        threads=tuple(tuple(thread) for thread in threads),
        staging=staging,
        recording=recording,
        sensor=sensor,
        strangers=tuple(
            Turn(who=UNSEEN, text=text, voice=voice, pause=0.0, lips=False)
            for voice, text in (
                (TRAVIS, "have you heard that the mayor will probably buy the big bridge? well, nobody believes it."),
                (F5, "five potatoes, two more bottles, and a bowl of soup, please. no, that is all for today."),
                (GRANDE, "the old piano left behind an empty room, and somebody always forgets the open door."),
                (SHELBY, "my brother moved to the river bank, by the way, before the first of March."),
            )
        ),
    )


def _says(who, voice, *texts, first=0.45, then=0.45, lips=True, heard=True):
    return [
        Turn(who=who, text=text, voice=voice, pause=then if index else first, lips=lips, heard=heard)
        for index, text in enumerate(texts)
    ]


def samples() -> tuple[Sample, ...]:
    """All of them, in the gallery's order."""
    return _speaking() + _deceiving() + _crowded()


def _near(backdrop, light, seed, **more):
    return Staging(backdrop=backdrop, light=light, seed=seed, height=3.9, y=-0.25, distance=15.0, **more)


def _speaking():
    """One person each, in sync with what is heard."""
    warm = Role(identity=59, voice=RMS, articulation=1.15, liveliness=1.0, smile=0.08)
    elder = Role(identity=56, voice=F5, articulation=1.2, liveliness=1.1, smile=0.12)
    young = Role(identity=14, voice=GRANDE, articulation=1.15, liveliness=1.2, smile=0.06)
    woman = Role(identity=95, voice=SHELBY, articulation=1.2, liveliness=1.0, smile=0.1)
    return (
        Sample(
            "1-speaking-indoors", "Speaking, indoors", "One person, in sync with the voice that is heard.",
            _script(11, "in_sync", 6.6, (warm,), _says(
                0, RMS, "The blue boat may come by the bay before noon.", "Maybe my brother will open the big bridge."
            ), staging=_near("room", "window", 5, facing=0.10)),
        ),
        Sample(
            "2-speaking-shelves", "Speaking, before shelves", "One person with glasses, in sync.",
            _script(12, "in_sync", 6.4, (elder,), _says(
                0, F5, "Of course, nobody remembers all of the money.", "We bought five potatoes and a bowl of soup."
            ), staging=_near("shelves", "soft", 8, facing=-0.12)),
        ),
        Sample(
            "3-speaking-garden", "Speaking, outdoors", "One person in daylight, in sync.",
            _script(13, "in_sync", 6.2, (young,), _says(
                0, GRANDE, "You know, that purple bus never waits for a famous baker.", "Why would it move before noon?"
            ), staging=_near("garden", "day", 3, facing=0.06)),
        ),
        Sample(
            "4-speaking-evening", "Speaking, at night", "One person before city lights, in sync.",
            _script(14, "in_sync", 5.4, (woman,), _says(
                0, SHELBY, "Above the valley the weather looks like fresh butter.", "Have you seen a map of the moon?"
            ), staging=_near("street", "lamp", 21, facing=-0.08)),
        ),
    )  # fmt: skip


def _deceiving():
    """A voice is heard that nobody in view has."""
    listener = Role(identity=62, voice=RMS, liveliness=1.2, smile=0.08)
    dubbed = Role(identity=47, voice=SHELBY, articulation=1.2, liveliness=1.0, smile=0.05)
    return (
        Sample(
            "5-listening", "Listening", "The lips rest: the voice belongs to somebody out of the picture.",
            _script(15, "still", 5.2, (listener,), _says(
                UNSEEN, GRANDE, "Her football team has never seen the wrong number.", "Is it true that nobody knew?",
                lips=False,
            ), staging=_near("window", "window", 4, facing=0.14)),
        ),
        Sample(
            "6-dubbed", "Dubbed", "The lips say something else than the voice: nobody in view is the one heard.",
            _script(16, "dubbed", 5.72, (dubbed,), _says(
                0, SHELBY, "Every farmer will probably buy a warm pullover.", "My favourite shoes are on the piano.",
                heard=False,
            ), _says(
                UNSEEN, F5, "So, the mayor left behind an empty room.", "Who promised fresh butter on Wednesday?",
                first=0.2, lips=False,
            ), staging=_near("curtain", "soft", 12, facing=0.05)),
        ),
    )  # fmt: skip


def _crowded():
    """Several voices, and lips that move without one."""
    left = Role(identity=26, voice=GIRL, articulation=1.25, liveliness=1.2, smile=0.14)
    right = Role(identity=134, voice=TRAVIS, articulation=1.2, liveliness=1.2, smile=0.1)
    market = Role(identity=143, voice=TRAVIS, articulation=1.25, liveliness=1.1, smile=0.05)
    eater = Role(identity=8, voice=F5, act="chew", liveliness=1.0, smile=0.05)
    return (
        Sample(
            "7-conversation", "Two people in turn", "Two people talk; only one of them speaks at a time.",
            _script(17, "turns", 7.96, (left, right), [
                *_says(0, GIRL, "Have you heard that the whole family moved to the river bank?", first=0.4),
                *_says(1, TRAVIS, "By the way, somebody borrowed my umbrella.", first=0.35),
                *_says(0, GIRL, "Maybe it was the baker.", first=0.35),
            ], staging=Staging(backdrop="room", light="soft", seed=31, height=4.0, y=-0.2, distance=22.0)),
        ),
        Sample(
            "8-noisy", "In a crowd", "One person, in sync, among other voices at 3 dB below.",
            _script(18, "in_sync", 5.8, (market,), _says(
                0, TRAVIS, "The Monday market is waiting for two more bottles.", "Well, everybody bought apple pie."
            ), staging=_near("street", "stage", 9, facing=-0.05), recording=Recording(
                reverberation=0.5, distance=0.3, noise="babble", snr_db=3.0, level_db=-3.0
            ), sensor=Sensor(noise=3.5, blur=0.002, smear=0.15, quality=70)),
        ),
        Sample(
            "9-chewing", "Chewing", "The mouth moves but says nothing; the voice comes from elsewhere.",
            _script(19, "gesture", 5.2, (eater,), _says(
                UNSEEN, RMS, "For example, a small bird jumped over your window.", "It should have washed the bag.",
                lips=False,
            ), staging=_near("wall", "soft", 2, facing=0.08)),
        ),
    )  # fmt: skip


def make_samples(out: str | Path, *, only: str = "", workers: int = 1) -> list[Path]:
    """Write the sample clips and their cards into ``out``; returns the videos.

    Args:
        only: make just the one with this name. workers: processes.

    Raises:
        ValueError: ``only`` names none of them.
        VoiceError, RenderError: something is not installed; the message says what.
    """
    out = Path(out)
    chosen = [sample for sample in samples() if only in ("", sample.name)]
    if not chosen:
        raise ValueError(f"no sample is called {only!r}; there are {', '.join(s.name for s in samples())}")
    out.mkdir(parents=True, exist_ok=True)
    names = [sample.name for sample in chosen]
    # Spawned, because OpenGL does not survive a fork.
    with ProcessPoolExecutor(max(1, workers), get_context("spawn")) as pool:
        return list(pool.map(_make_one, names, [out] * len(names)))


def contact_sheet(videos: list[Path], out: str | Path) -> Path:
    """Four moments of every clip, a row for each, as one picture."""
    rows = []
    for path in videos:
        frames = list(read_frames(path))
        chosen = [frames[round(share * (len(frames) - 1))] for share in (0.15, 0.4, 0.65, 0.9)]
        small = [Image.fromarray(f).resize((SHEET * f.shape[1] // f.shape[0], SHEET), Image.LANCZOS) for f in chosen]
        rows.append(np.concatenate([np.asarray(picture) for picture in small], axis=1))
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    Image.fromarray(np.concatenate(padded)).quantize(256).save(out)
    return Path(out)


def _make_one(name, out):
    sample = next(sample for sample in samples() if sample.name == name)
    with Studio(sample.size) as studio:
        frames, performance, film = studio.film(sample.script)
    path = write_preview(out / f"{name}.mp4", frames, quantise_audio(performance.audio), crf=CRF)
    with replacing(path.with_suffix(".json"), "w") as handle:
        json.dump(_card(sample, performance, film), handle, indent=1)
        handle.write("\n")
    return path


def _card(sample, performance, film):
    faces = []
    for role, labels, boxes in zip(sample.script.roles, performance.labels, film.boxes, strict=True):
        middle = [round(float(v), 1) for v in np.median(boxes, axis=0)]
        text = "".join(str(int(label)) for label in labels)
        faces.append({"identity": role.identity, "voice": role.voice.speaker, "box": middle, "labels": text})
    return {
        "title": sample.title,
        "caption": sample.caption,
        "kind": sample.script.kind,
        "seconds": sample.script.seconds,
        "faces": faces,
        "licence": LICENCE,
        "credit": "Made by pushpull's talking heads: nobody's face, nobody's voice.",
        "command": f"python -m pushpull.data.talkheads assets --only {sample.name}",
    }
