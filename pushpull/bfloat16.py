"""Whether a device computes in bfloat16 or only imitates it, many times slower than it computes in float32."""

import time

import torch

SIDE = 192  # of the matrices that are multiplied to find out: no more than some milliseconds, imitated or not
TRIES = 5
SLOW = 2.0  # times as long as float32: no processor with such instructions takes as long


def imitated(device: torch.device) -> bool:
    """Whether bfloat16 is slower than float32 there: processors without instructions for it convert every number.

    On a processor it is measured, in some milliseconds; a GPU says it.
    """
    if device.type == "cuda":
        return not torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _seconds(torch.bfloat16) > SLOW * _seconds(torch.float32)


def warning(device: torch.device, option: str) -> str:
    """What to say before bfloat16 is used on a device, "" where it is right to use it.

    Args:
        option: the option that chose it, "--precision".
    """
    if not imitated(device):
        return ""
    return (
        f"this machine only imitates bfloat16, far slower than it computes in float32: {option} float32 is the faster"
    )


@torch.no_grad()
def _seconds(dtype: torch.dtype) -> float:
    """The shortest of some products of two matrices: what else the machine does makes others longer."""
    matrix = torch.ones(SIDE, SIDE, dtype=dtype)
    taken = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        matrix @ matrix
        taken.append(time.perf_counter() - begun)
    return min(taken)
