"""What came of an attack that was made to survive: scores before, after and out of the file, and its report."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pushpull.clip import Clip
from pushpull.metrics import psnr, snr_db
from pushpull.runs.run import Run
from pushpull.runs.survive_spec import SurviveSpec

FORMAT = "pushpull.survive/1"
REPORT = "survive.json"
# Name of each file but the report, without its container's ending, to what it is.
FILES = {
    "survive": "the scene with the attack in it: an ordinary file, read again and scored",
    "clean": "the same scene without the attack, written the same way",
}
# What may lie between attacker and detector, in the order of the report.
VERSIONS = {
    "clean": "the clip as it was read",
    "adversarial": "the attacked clip as the attack left it, on the values that a lossless file holds",
    "clean file, known place": "the scene without the attack, compressed; the face cut where it was",
    "file, known place": "the attacked scene, compressed; the face cut where it was: what the attack counted on",
    "clean file": "the scene without the attack, compressed; the face found anew",
    "file": "the attacked scene, compressed; the face found anew: what a reader of the file gets",
}


@dataclass(frozen=True, eq=False)
class Survived:
    """What came of it.

    Args:
        spec: what was asked for.
        run: the attack itself, as any other run: what the detector says of the clip without a file between.
        margins: (T,) float32 log-odds of speaking by the names of VERSIONS; nan where the face was not found.
        overlaps: how well the face that was found anew sits on the one that was attacked, 0..1, by version.
        labels: (T,) what counts as right: the clip's labels, else the detector's decisions on the clean clip.
        aimed: (T,) bool, frames that the attack was after, and ``wanted`` (T,), what it wanted them to be.
        files: {"file": the attacked video, "clean file": the one without the attack}.
        sizes: bytes of both.
    """

    spec: SurviveSpec
    run: Run
    margins: dict[str, np.ndarray]
    overlaps: dict[str, float | None]
    labels: np.ndarray
    aimed: np.ndarray
    wanted: np.ndarray
    files: dict[str, Path]
    sizes: dict[str, int]

    @property
    def clip(self) -> Clip:
        """As it was read."""
        return self.run.clip

    @property
    def attacked(self) -> Clip:
        """As the attack left it."""
        return self.run.stored_clip

    @property
    def stopped_after(self) -> int | None:
        """Evaluations after which it was stopped; None if it ran to its end."""
        return len(self.run.result.trace) if self.run.result.cancelled else None

    def row(self, name: str) -> dict:
        """The numbers of one version: frames ``found``; of these ``speaking``, ``flipped`` (decided otherwise than in
        the clean clip), ``right``, ``aimed`` at and ``won`` (as the attacker wants); ``lead``, mean log-odds in favour
        of what is right; ``overlap``.
        """
        margin = self.margins[name]
        there = ~np.isnan(margin)
        decided, before = margin > 0, self.margins["clean"] > 0
        return {
            "found": int(there.sum()),
            "speaking": int((there & decided).sum()),
            "flipped": int((there & (decided != before)).sum()),
            "right": int((there & (decided == (self.labels == 1))).sum()),
            "aimed": int((there & self.aimed).sum()),
            "won": int((there & self.aimed & (decided == (self.wanted == 1))).sum()),
            # By how much a frame stands on the side that counts as right: below 0 it is wrong.
            "lead": float((margin * np.where(self.labels == 1, 1, -1))[there].mean()) if there.any() else None,
            "overlap": self.overlaps.get(name),
        }

    @property
    def described(self) -> dict[str, str]:
        """Names of the files that were written, with what each is."""
        ending = self.files["file"].suffix
        return {name + ending: what for name, what in FILES.items()} | {REPORT: "every number and setting"}

    def section(self) -> dict:
        """What the report of a run says besides, where it was to survive; with the spec, the run repeats from it."""
        return {
            **{name: getattr(self.spec, name) for name in ("codec", "method", "samples")},
            "versions": {name: self.row(name) | {"what": what} for name, what in VERSIONS.items()},
            "files": {name: {"name": path.name, "bytes": self.sizes[name]} for name, path in self.files.items()},
        }

    def report(self) -> dict:
        """Everything about it, ready for JSON."""
        before, after = self.clip.inputs(), self.attacked.inputs()
        visible = {"psnr_db": psnr(before["video"], after["video"]), "snr_db": snr_db(before["audio"], after["audio"])}
        origin, section = self.clip.origin, self.section()
        return {
            "format": FORMAT,
            "spec": self.spec.to_dict(),
            "source": {"name": origin.path.name, "face": origin.face, "first": origin.first},
            "frames": self.clip.frames,
            "checkpoint": {name: self.run.card.get(name) for name in ("name", "sha256")},
            "environment": self.run.environment,
            "versions": section["versions"],
            "perturbation": {name: value if np.isfinite(value) else None for name, value in visible.items()},
            "files": section["files"],
            "seconds": round(self.run.elapsed, 2),
            "stopped_after": self.stopped_after,
        }

    def text(self) -> str:
        """The versions as a table, for a terminal."""
        lines = [f"{'':26}{'found':>8}{'flipped':>10}{'right':>8}{'lead':>8}   of {self.clip.frames} frames"]
        for name in VERSIONS:
            row = self.row(name)
            lead = "" if row["lead"] is None else f"{row['lead']:+.2f}"
            lines.append(f"{name:26}{row['found']:>8}{row['flipped']:>10}{row['right']:>8}{lead:>8}")
        return "\n".join(lines)
