"""What one attack did to one example, kept on disk as soon as it is known: an interrupted evaluation goes on there."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from pushpull.files import read_text


@dataclass(frozen=True, eq=False)
class Record:
    """One example, attacked by way of some detectors and scored by one.

    Args:
        example: its name.
        target: the detector that scored it.
        labels: (T,) what is right, 1 speaking, 0 not.
        clean, adversarial, stored: (T,) float32 log-odds of speaking above the detector's threshold, of the example as
            it is, as the attack left it, and as a file holds that (8-bit frames, 16-bit samples).
        ever: (T,) bool, frames that some iterate of the attack decided wrongly, in the attack's precision; None where
            the scoring detector is not the only one that was attacked, because iterates are scored by the attacked one
            alone.
        ecr_a, ecr_v: embedding change ratio of the adversarial example (paper section 4.3); None without embeddings.
        norm_a, norm_v: mean length of the clean embeddings; None without.
        norm_a_adversarial, norm_v_adversarial: of the adversarial ones.
        snr_audio_db, snr_video_db, psnr_db, ssim: how large the perturbation is, ``pushpull.metrics``; None where a
            modality is not changed.
        loss, clean_loss: the attacker's objective.
        zero_gradients: share of gradient elements that were exactly zero before the first step, mean over the batch it
            was attacked in, the largest over modalities; None for attacks without gradients.
    """

    example: str
    target: str
    labels: np.ndarray
    clean: np.ndarray
    adversarial: np.ndarray
    stored: np.ndarray
    ever: np.ndarray | None
    ecr_a: float | None
    ecr_v: float | None
    norm_a: float | None
    norm_v: float | None
    norm_a_adversarial: float | None
    norm_v_adversarial: float | None
    snr_audio_db: float | None
    snr_video_db: float | None
    psnr_db: float | None
    ssim: float | None
    loss: float
    clean_loss: float
    zero_gradients: float | None

    @property
    def lost(self) -> np.ndarray | None:
        """(T,) bool, ``ever`` and what is wrong unattacked or at the end; None where ``ever`` is.

        These two are scored in float32, iterates in the attack's precision: a frame that is wrong when all is done may
        have been wrong in no iterate.
        """
        if self.ever is None:
            return None
        speaking = self.labels == 1
        return self.ever | ((self.clean > 0) != speaking) | ((self.adversarial > 0) != speaking)

    def to_json(self) -> str:
        """One line."""
        values = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("labels", "ever") and value is not None:
                value = "".join("01"[int(x)] for x in value)
            elif isinstance(value, np.ndarray):
                value = [float(f"{x:.6g}") for x in value]  # six digits keep every decision and all but ties of ranks
            elif isinstance(value, float):
                value = float(f"{value:.6g}") if np.isfinite(value) else None
            values[field.name] = value
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> "Record":
        values = json.loads(line)
        for name in ("clean", "adversarial", "stored"):
            values[name] = np.array(values[name], dtype=np.float32)
        for name, kind in (("labels", np.int64), ("ever", bool)):
            if values[name] is not None:
                values[name] = np.array([character == "1" for character in values[name]]).astype(kind)
        return cls(**values)


class RecordStore:
    """The records of one condition, a line each, in files that several processes may fill.

    Args:
        folder: None keeps them in memory alone.
        key: everything that the records depend on but the example: same key, same records.
        shard: number of the process that writes.
    """

    def __init__(self, folder: Path | None, key: dict, shard: int = 0):
        text = json.dumps(key, sort_keys=True)
        self.name = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.key, self.folder, self.shard = key, folder, shard
        self._found: dict[str, list[Record]] = {}

    def load(self) -> dict[str, list[Record]]:
        """{example: its records, one for each target}; a line that a killed process cut off is not there."""
        if self.folder is not None:
            for path in sorted(self.folder.glob(f"{self.name}*.jsonl")):
                for line in read_text(path).splitlines():
                    try:
                        records = [Record.from_json(json.dumps(part)) for part in json.loads(line)]
                    except (ValueError, TypeError, KeyError):
                        continue
                    self._found[records[0].example] = records
        return dict(self._found)

    def add(self, examples: Iterable[list[Record]]) -> None:
        """Records of some examples, on disk before this returns."""
        examples = list(examples)
        self._found |= {records[0].example: records for records in examples}
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        told = self.folder / f"{self.name}.json"
        if not told.exists():
            told.write_text(json.dumps(self.key, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        path = self.folder / f"{self.name}.{self.shard}.jsonl"
        cut_off = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
        with open(path, "a", encoding="utf-8") as file:
            # What a killed process wrote last may be half a line.
            file.write("\n" if cut_off else "")
            for records in examples:
                file.write("[" + ",".join(record.to_json() for record in records) + "]\n")
            file.flush()
