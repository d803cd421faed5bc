"""bfloat16 autocast, which a GPU takes by default, on the processor: the same losses within its rounding."""

import pytest
import torch
from rows_support import log_of, tiny, weights

from pushpull.train import train


def test_bfloat16_begins_alike_and_keeps_float_weights(footage, tmp_path):
    first, paths = {}, {}
    for precision in ("float32", "bfloat16"):
        options = tiny(device="cpu", precision=precision, row="D3", lambda1=0.1, lambda4=0.1)
        paths[precision] = train(options, tmp_path / precision, progress=False)
        entries = [entry for entry in log_of(tmp_path / precision) if "loss" in entry]
        first[precision] = entries[0]
    for part in ("loss", "av", "a", "v", "L1", "L4"):
        assert first["bfloat16"][part] == pytest.approx(first["float32"][part], rel=0.02), part
    assert first["bfloat16"]["loss"] != first["float32"]["loss"], "it is another precision"
    state = torch.load(tmp_path / "bfloat16/state.pt", weights_only=True)
    assert all(value.dtype != torch.bfloat16 for value in state["model"].values()), "steps add up in float32"
    assert all(torch.isfinite(value).all() for value in weights(paths["bfloat16"]).values())
