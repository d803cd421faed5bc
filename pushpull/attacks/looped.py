"""UniversalNoise: one loop of sound and one picture that are added to any clip, as a value and as a file."""

import hashlib
import json
import os
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from pushpull.attacks.budget import Budget, bounds, paper_budget
from pushpull.clip import SAMPLE_RATE, Clip
from pushpull.files import replacing
from pushpull.media import quantise_audio

LOOP = SAMPLE_RATE  # samples of the sound before it begins again: one second
FORMAT = "pushpull.universal/1"
KEY = "universal"  # of the file's metadata. One entry, because the order of several is not always the same
SUFFIX = ".safetensors"
SHAPES = {"audio": 1, "video": 2}  # dimensions
HEARD = 3  # loops in the sound that is written for ears

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class UniversalNoise:
    """A perturbation that knows nothing of the clip that it is added to.

    Args:
        audio: (L,) float32 full scale, repeated for as long as the clip lasts; None leaves the sound alone.
        video: (H, W) float32 grey levels, added to every frame; None leaves the picture alone.
        eps: largest absolute value allowed, per modality that is there: full scale and grey levels.
        facts: where it comes from, as JSON can hold it; see :func:`pushpull.attacks.universal.fit_universal`.

    Raises:
        ValueError: shapes or types are not those above, a value is not finite or larger than eps, or there is nothing.
    """

    audio: Tensor | None
    video: Tensor | None
    eps: dict[str, float]
    facts: dict = field(default_factory=dict)

    def __post_init__(self):
        if not self.parts:
            raise ValueError("a universal noise needs sound, a picture or both")
        if set(self.eps) != set(self.parts):
            raise ValueError(f"eps must be of {', '.join(self.parts)}, got {', '.join(self.eps) or 'none'}")
        for name, values in self.parts.items():
            if values.ndim != SHAPES[name] or values.numel() == 0 or values.dtype != torch.float32:
                wanted = "(L,)" if name == "audio" else "(H, W)"
                raise ValueError(f"{name} must be {wanted} float32, got {tuple(values.shape)} {values.dtype}")
            largest = values.abs().max().item()
            if not largest <= self.eps[name]:
                raise ValueError(f"{name} goes up to {largest:g}, beyond its eps of {self.eps[name]:g}")

    @property
    def parts(self) -> Tensors:
        """The modalities that it changes."""
        return {name: values for name in SHAPES if (values := getattr(self, name)) is not None}

    @property
    def modality(self) -> str:
        """ "both", "audio" or "video"."""
        return "both" if len(self.parts) == 2 else next(iter(self.parts))

    @property
    def budgets(self) -> dict[str, Budget]:
        """With the units and ranges of the paper's budget; eps 0 for what it leaves alone."""
        return {name: replace(budget, eps=self.eps.get(name, 0.0)) for name, budget in paper_budget(0).items()}

    @property
    def eps_av(self) -> float:
        """The smallest joint budget of the paper that holds it."""
        units = paper_budget(1)
        least = max(eps / units[name].eps for name, eps in self.eps.items())
        # eps = 15 x 1e-4 divided by 1e-4 may be a bit less than 15.
        return round(least, 9) if self._within(round(least, 9)) else least * (1 + 1e-12)

    def _within(self, eps_av: float) -> bool:
        budgets = paper_budget(eps_av)
        return all(eps <= budgets[name].eps for name, eps in self.eps.items())

    @property
    def sha256(self) -> str:
        """Of the file that :meth:`save` writes."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def placed(self, name: str, shape: Sequence[int], offset: int | Sequence[int] = 0) -> Tensor:
        """What is added to a batch of one modality, before the range of the input cuts it off.

        Args:
            name: "audio" or "video".
            shape: (B, N) or (B, T, H, W), of the batch.
            offset: sample of the loop at which each clip begins, one for all or one for each; of no meaning for video.

        Raises:
            ValueError: the picture has another size, or there is not one offset for each clip.
        """
        return placed(name, self.parts[name], shape, offset)

    def save(self, path: str | os.PathLike) -> Path:
        """Write it to one safetensors file; the path, with its suffix."""
        path = Path(path)
        path = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(self._bytes())
        return path

    def _bytes(self) -> bytes:
        known = {"format": FORMAT, "eps": self.eps, "facts": self.facts}
        return to_bytes(
            {name: values.contiguous() for name, values in self.parts.items()},
            {KEY: json.dumps(known, sort_keys=True, ensure_ascii=False, allow_nan=False)},
        )

    def export(self, path: str | os.PathLike) -> dict[str, Path]:
        """Write it for ears and eyes: three rounds of the loop as PATH.wav, the picture as PATH.png.

        Both are magnified until they fill their range: eps becomes full scale, and black and white (grey is 0).

        Returns:
            {"audio": path, "video": path} of what was there.
        """
        path, written = Path(path), {}
        path.parent.mkdir(parents=True, exist_ok=True)
        shares = {name: values.numpy() / max(self.eps[name], 1e-30) for name, values in self.parts.items()}
        if "audio" in shares:
            written["audio"] = path.with_name(path.name + ".wav")
            with replacing(written["audio"]) as file, wave.open(file, "wb") as sound:
                sound.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
                sound.writeframes(quantise_audio(np.tile(shares["audio"], HEARD)).astype("<i2").tobytes())
        if "video" in shares:
            written["video"] = path.with_name(path.name + ".png")
            with replacing(written["video"]) as file:
                Image.fromarray(np.rint(127.5 * (1 + shares["video"])).astype(np.uint8)).save(file, format="png")
        return written


def load_noise(path: str | os.PathLike) -> UniversalNoise:
    """Read what :meth:`UniversalNoise.save` wrote.

    Raises:
        ValueError: there is no such file, it is cut off or no safetensors file, or holds something else; the message
            says which.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no noise at {path}: give a file that  python -m pushpull.universal fit  wrote")
    try:
        with safe_open(path, framework="pt") as file:
            said = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is damaged or no safetensors file ({error}): copy it again, or fit it anew"
        ) from error
    if said is None:
        raise ValueError(f"{path} holds no universal noise: it has {', '.join(sorted(tensors)[:4]) or 'no tensors'}")
    try:
        known = json.loads(said)
        if known["format"] != FORMAT:
            raise ValueError(f"its format is {known['format']!r}, not {FORMAT!r}")
        if extra := sorted(set(tensors) - set(SHAPES)):
            raise ValueError(f"it also holds {', '.join(extra)}")
        return UniversalNoise(tensors.get("audio"), tensors.get("video"), known["eps"], known["facts"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} holds a universal noise that this version cannot read: {error}") from error


def placed(name: str, values: Tensor, shape: Sequence[int], offset: int | Sequence[int] = 0) -> Tensor:
    """``values`` of one modality as they lie in a batch of ``shape``; see :meth:`UniversalNoise.placed`.

    Gradients reach ``values``.
    """
    if name == "video":
        if tuple(shape[2:]) != tuple(values.shape):
            raise ValueError(f"the noise's picture is {tuple(values.shape)}, the clips' are {tuple(shape[2:])}")
        return values.expand(shape)
    clips, samples = shape
    offsets = torch.as_tensor(offset, device=values.device).reshape(-1, 1)
    if len(offsets) not in (1, clips) or offsets.is_floating_point():
        raise ValueError(f"offset is a whole number of samples, or one for each of the {clips} clips, got {offset!r}")
    where = (offsets + torch.arange(samples, device=values.device)) % len(values)
    return values[where].expand(clips, samples)


def apply(clips: Tensors | Clip, noise: UniversalNoise, offset: int | Sequence[int] = 0) -> Tensors | Clip:
    """Add ``noise`` to clips; what comes back is within its eps of them to the last bit, and within their range.

    Args:
        clips: {"audio": (B, N) full scale, "video": (B, T, H, W) grey levels}, on any device; or a :class:`Clip`.
        offset: sample of the loop at which each clip begins, one for all or one for each.

    Raises:
        ValueError: a modality is missing, the picture has another size, or there is not one offset for each clip.
    """
    if isinstance(clips, Clip):
        return clips.with_inputs(apply(clips.inputs(), noise, offset))
    if missing := sorted(set(noise.parts) - set(clips)):
        raise ValueError(f"the noise changes {', '.join(missing)}, which the clips have not; they have {sorted(clips)}")
    moved = dict(clips)
    for name, values in noise.parts.items():
        x = clips[name]
        lower, upper = bounds(x, noise.budgets[name])
        moved[name] = (x + placed(name, values.to(x.device, x.dtype), x.shape, offset)).clamp(lower, upper)
    return moved


def random_noise(noise: UniversalNoise, seed: int = 0) -> UniversalNoise:
    """The control: of the same length, size and budget, each value +eps or -eps by chance."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(values: Tensor) -> Tensor:
        return 2 * torch.randint(0, 2, values.shape, generator=generator).float() - 1

    facts = {"control": "random signs", "of": noise.sha256, "seed": seed}
    return full_budget({name: drawn(values) for name, values in noise.parts.items()}, noise.eps, facts)


def scrambled_noise(noise: UniversalNoise, seed: int = 0) -> UniversalNoise:
    """A stricter control: the spectrum of ``noise`` with random phases, cut to its signs, so the same budget.

    What it does as well, ``noise`` does by its colour and not by its shape.
    """
    generator = torch.Generator().manual_seed(seed)

    def scrambled(values: Tensor) -> Tensor:
        other = torch.fft.rfftn(torch.randn(values.shape, generator=generator))
        phases = torch.where(other.abs() > 0, other / other.abs(), torch.ones_like(other))
        mixed = torch.fft.irfftn(torch.fft.rfftn(values).abs() * phases, s=values.shape)
        return torch.where(mixed < 0, -1.0, 1.0)

    facts = {"control": "same spectrum, random phases", "of": noise.sha256, "seed": seed}
    return full_budget({name: scrambled(values) for name, values in noise.parts.items()}, noise.eps, facts)


def full_budget(shares: Tensors, eps: dict[str, float], facts: dict) -> UniversalNoise:
    """The noise whose values are ``shares`` of eps, each in -1..1, rounded so that none exceeds it."""
    parts = {}
    for name, share in shares.items():
        share = share.detach().cpu().float()
        lower, upper = bounds(torch.zeros_like(share), Budget(eps[name], -float("inf"), float("inf")))
        parts[name] = (share * upper).clamp(lower, upper)
    return UniversalNoise(parts.get("audio"), parts.get("video"), dict(eps), facts)
