"""Visitors who try the test: what they were shown and answered is in memory alone, and gone with it."""

import random
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..blinding import BlindedClips
from ..plan import FRAME_SECONDS, PlannedPair, PlannedTrial, make_plan
from ..store import Conflict, MediaFile, NotFound, Pair, Refused, Tally, TrialMedia
from ..store.trials import ROLES, SHORTEST_SHARE
from .clips import Clips
from .result import result, shown, told

MOST = 1000  # visitors at once; each is a few kilobytes
IDLE = 2 * 3600.0  # seconds after which a visitor is forgotten
MOST_A_MINUTE = 60  # new visitors, or a program could wear out the count and the memory


class Crowded(Refused):
    status = 429


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A planned trial with the names that its page knows it by."""

    plan: PlannedTrial
    pair: Pair
    handle: str
    media: dict[str, str]


@dataclass(kw_only=True)
class Visitor:
    """One try; ``trials`` are planned when the clips are there."""

    counted: bool
    seen: float
    trials: list[Trial] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)  # of each trial that was shown
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def current(self) -> Trial:
        return self.trials[len(self.answers)]

    @property
    def done(self) -> bool:
        return bool(self.trials) and len(self.answers) == len(self.trials)

    def right(self) -> list[bool]:
        """Of the trials that count, in order."""
        pairs = zip(self.trials, self.answers, strict=False)
        return [trial.plan.match == choice for trial, choice in pairs if trial.plan.phase == "main"]


class Tryouts:
    """Every visitor at the moment.

    Args:
        clips: what is shown.
        tally: where a result is counted, if its visitor agreed before the first trial.
        secret: makes the padding of clips unpredictable.
        clock: seconds, of any origin.
    """

    def __init__(self, clips: Clips, tally: Tally, secret: bytes, *, clock: Callable[[], float] = time.monotonic):
        self.clips = clips
        self._tally = tally
        self._blinded = BlindedClips(clips.folder, secret)
        self._clock = clock
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()
        self._names: dict[str, tuple[str, str]] = {}  # of media: whose, and which role
        self._starts: deque[float] = deque()
        self._lock = threading.Lock()

    def begin(self, *, counted: bool) -> str:
        """A new visitor's token.

        Raises:
            Crowded: more than MOST_A_MINUTE began within a minute.
        """
        now, token = self._clock(), secrets.token_urlsafe(18)
        with self._lock:
            while self._starts and now - self._starts[0] > 60:
                self._starts.popleft()
            if len(self._starts) >= MOST_A_MINUTE:
                raise Crowded("crowded", "many people are trying the test right now: wait a minute")
            self._starts.append(now)
            self._visitors[token] = Visitor(counted=counted, seen=now)
            self._forget(now)
        self.clips.prepare()
        return token

    def state(self, token: str) -> dict:
        """What the page shows now; showing a trial for the first time starts its clock.

        Raises:
            NotFound: nobody has this token, or no longer.
        """
        visitor = self._visitor(token)
        with visitor.lock:
            if not visitor.trials and not self._plan(token, visitor):
                return self._making()
            if visitor.done:
                return {"step": "done", "result": self._result(visitor)}
            trial, position = visitor.current, len(visitor.answers)
            if len(visitor.opened) == position:
                visitor.opened.append(self._clock())
            training = sum(one.plan.phase == "training" for one in visitor.trials)
            practice = trial.plan.phase == "training"
            return {
                "step": "trials",
                "phase": "training" if practice else "test",
                "number": position + 1 if practice else position + 1 - training,
                "training": training,
                "trials": len(visitor.trials) - training,
                "handle": trial.handle,
                "seconds": trial.pair.frames * FRAME_SECONDS,
                "media": trial.media,
                "played": [],
            }

    def answer(self, token: str, handle: str, choice: str) -> dict:
        """Take an answer; the last one is counted if the visitor agreed. A repeated request changes nothing.

        Returns:
            {"correct": bool | None}, the former in practice only.

        Raises:
            NotFound: nobody has this token, or no such trial.
            Conflict: another trial is the current one, or the clips cannot have been played yet.
        """
        visitor = self._visitor(token)
        with visitor.lock:
            position = next((at for at, trial in enumerate(visitor.trials) if trial.handle == handle), None)
            if position is None or position > len(visitor.answers):
                raise NotFound("unknown_trial", "this is not the current trial")
            trial = visitor.trials[position]
            correct = choice == trial.plan.match if trial.plan.phase == "training" else None
            if position < len(visitor.answers):
                if visitor.answers[position] != choice:
                    raise Conflict("already_answered", "this trial has been answered already; your first answer counts")
                return {"correct": correct}
            least = SHORTEST_SHARE * len(ROLES) * trial.pair.frames * FRAME_SECONDS
            if len(visitor.opened) <= position or self._clock() - visitor.opened[position] < least:
                raise Conflict("too_early", "three clips cannot have been played in so short a time")
            visitor.answers.append(choice)
            if visitor.done and visitor.counted:
                try:
                    self._tally.add(sum(visitor.right()), len(visitor.right()))
                except Exception:
                    visitor.answers.pop()  # the page sends it again
                    raise
            return {"correct": correct}

    def clip(self, name: str) -> bytes | None:
        """The blinded clip of an opaque name, None if it is of no visitor's current trial.

        Raises:
            StimulusDamaged: its file is missing or changed.
        """
        token, role = self._names.get(name, ("", ""))
        visitor = self._visitors.get(token)
        if visitor is None or visitor.done or visitor.current.media[role] != name:
            return None
        if len(visitor.opened) <= len(visitor.answers):
            return None
        return self._blinded.get(_media(visitor.current, role, self.clips.pairs()))

    def _visitor(self, token: str) -> Visitor:
        with self._lock:
            visitor = self._visitors.get(token)
            if visitor is None:
                raise NotFound("unknown_try", "this try is over: begin again")
            visitor.seen = self._clock()
            self._visitors.move_to_end(token)
            return visitor

    def _forget(self, now: float) -> None:
        """Drop who was idle for long, and the oldest when there are too many."""
        while self._visitors:
            token, oldest = next(iter(self._visitors.items()))
            if now - oldest.seen < IDLE and len(self._visitors) <= MOST:
                return
            del self._visitors[token]
            for trial in oldest.trials:
                for name in trial.media.values():
                    self._names.pop(name, None)

    def _plan(self, token: str, visitor: Visitor) -> bool:
        """Plan a visitor's trials; False while there are no clips."""
        pairs = self.clips.pairs()
        if pairs is None:
            return False
        planned = [
            PlannedPair(pair=pair.position, phase=pair.phase, stratum=f"{pair.model}/{pair.attack}/{pair.modality}")
            for pair in pairs
        ]
        by_position = {pair.position: pair for pair in pairs}
        rng = random.SystemRandom()
        for plan in make_plan(seed=rng.randrange(2**31), slot=rng.randrange(4), pairs=planned):
            media = {role: secrets.token_urlsafe(18) for role in ROLES}
            handle = secrets.token_urlsafe(18)
            visitor.trials.append(Trial(plan=plan, pair=by_position[plan.pair], handle=handle, media=media))
            self._names.update({name: (token, role) for role, name in media.items()})
        return True

    def _making(self) -> dict:
        progress = self.clips.progress()
        return {"step": "failed" if progress.failed else "making", "made": progress.made, "of": progress.of}

    def _result(self, visitor: Visitor) -> dict:
        right = visitor.right()
        return {
            **result(sum(right), len(right)),
            "right": right,
            "counted": visitor.counted,
            "clips": shown(self.clips.pairs()),
            "tally": told(self._tally.counts()),
        }


def _media(trial: Trial, role: str, pairs: list[Pair]) -> TrialMedia:
    stored = {(file.twin, file.encoding): file for file in trial.pair.stimuli}
    files = {}
    for one in ROLES:
        file = stored[trial.plan.twin(one), "reference" if one == "X" else "choice"]
        files[one] = MediaFile(path=file.path, bytes=file.bytes, file_sha256=file.file_sha256)
    ceiling = max(file.bytes for pair in pairs for file in pair.stimuli)
    return TrialMedia(trial=trial.plan.position, role=role, handles=trial.media, files=files, ceiling=ceiling)
