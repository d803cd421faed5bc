"""Inputs for detectors, and how far two of them are apart."""

import torch

FRAMES = 6


def batch(size=1, frames=FRAMES, seed=0):
    """Speech-loud noise on the 16-bit grid, and frames with contrast in space and time."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "audio": torch.round(3000 * torch.randn(size, 640 * frames, generator=generator)) / 32768,
        "video": torch.randint(0, 256, (size, frames, 112, 112), generator=generator).float(),
    }


def largest(first, second):
    """Largest difference over all outputs; those that neither has are equal."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if (a, b) != (None, None)]
    return max((a - b).abs().max().item() for a, b in pairs)
