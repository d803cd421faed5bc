"""What one forward pass of training is given."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Examples:
    """A batch's own examples, augmented; behind them adversarial ones that joined it, or adversarial in their place.

    Args:
        audio: (B, 640 T) full scale.
        video: (B, T, 112, 112) grey levels, float32.
        labels: (B, T) int64.
        types: B names.
        clean: the batch's own inputs, where ``audio`` and ``video`` are more or other than these.
    """

    audio: Tensor
    video: Tensor
    labels: Tensor
    types: tuple[str, ...]
    clean: dict[str, Tensor] | None = None

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What the network is given."""
        return {"audio": self.audio, "video": self.video}

    @property
    def own(self) -> dict[str, Tensor]:
        """The batch's own examples without what was done to fool a network."""
        return self.inputs if self.clean is None else self.clean

    def replaced_by(self, audio: Tensor, video: Tensor) -> "Examples":
        """The same, adversarial."""
        return replace(self, audio=audio, video=video, types=("adversarial",) * len(audio), clean=self.own)

    def joined_by(self, audio: Tensor, video: Tensor, labels: Tensor) -> "Examples":
        """The same with adversarial examples behind its own, which are cut at their ends where those are shorter."""
        extra = (audio, video, labels)
        # Where lengths are left to chance, as those of AVA's tracks, few adversarial examples may all be short.
        own = tuple(x[:, : y.shape[1]] for x, y in zip((self.audio, self.video, self.labels), extra, strict=True))
        audio, video, labels = map(torch.cat, zip(own, extra, strict=True))
        types = (*self.types, *["adversarial"] * len(extra[0]))
        clean = {"audio": own[0], "video": own[1]}
        return replace(self, audio=audio, video=video, labels=labels, types=types, clean=clean)
