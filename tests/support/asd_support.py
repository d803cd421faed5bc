"""What the tests of Light-ASD and LR-ASD share: networks with random weights, inputs, the published files."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from pushpull.detectors import LRASD, LightASD, Outputs

CLASSES = {"light-asd": LightASD, "lr-asd": LRASD}
WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "weights"
NAMES = ("light-asd-ava", "light-asd-talkset", "lr-asd-ava", "lr-asd-talkset")


def randomised(architecture, seed=0, dtype=torch.float32):
    """A detector whose normalisations are not the identity, so that folding and modes can be told apart."""
    torch.manual_seed(seed)
    detector = CLASSES[architecture]()
    for name, tensor in detector.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif tensor.ndim > 2:  # as large as keeps signals, and gradients, of one size through all layers
            torch.nn.init.kaiming_normal_(tensor)
        elif tensor.ndim == 1 and tensor.is_floating_point():
            tensor.add_(0.1 * torch.randn_like(tensor))
    return detector.to(dtype).eval()


def batch(clips=2, frames=4, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return {
        "audio": (0.1 * torch.randn(clips, 640 * frames, generator=generator)).clamp(-1, 1).to(dtype),
        "video": (255 * torch.rand(clips, frames, 112, 112, generator=generator)).to(dtype),
    }


def made_30():
    """The input of reference.json, whose README says how it is made."""
    g, frames = np.random.default_rng(1), 30
    t = np.arange(640 * frames) / 16000
    hum = 0.3 * np.sin(2 * np.pi * 180 * t) * (1 + np.sin(2 * np.pi * 4 * t)) / 2
    audio = (hum + 0.02 * g.standard_normal(640 * frames)).astype(np.float32)
    y, x = np.mgrid[0:112, 0:112]
    mouth = [7 + 3 * np.sin(2 * np.pi * 4 * k / 25) for k in range(frames)]
    video = np.stack([np.clip(128 + 60 * np.sin(x / 9) + 50 * np.cos(y / m), 0, 255).astype(np.uint8) for m in mouth])
    return {"audio": torch.from_numpy(audio)[None], "video": torch.from_numpy(video.astype(np.float32))[None]}


def weights_file(name):
    """A published file; the test is skipped where there is none."""
    folder = Path(os.environ.get("PUSHPULL_DETECTORS") or WEIGHTS)
    if not (folder / f"{name}.model").is_file():
        pytest.skip(f"no {name}.model in {folder}; PUSHPULL_DETECTORS names another folder")
    return folder / f"{name}.model"


def reference(name):
    if not (WEIGHTS / "reference.json").is_file():
        pytest.skip(f"no reference.json in {WEIGHTS}")
    return torch.tensor(json.loads((WEIGHTS / "reference.json").read_text())[f"{name}/made-30"])


def largest(one: Outputs, other: Outputs) -> float:
    """The largest difference between two outputs that have the same parts, as a share of a part's largest value."""
    assert [a is None for a in one] == [b is None for b in other]
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None]
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)
