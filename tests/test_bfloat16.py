"""Where bfloat16 is only imitated, those who ask for it are told."""

import pytest
import torch

from pushpull import bfloat16
from pushpull.evaluation.command import main

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("seconds", "slow"), [((0.010, 0.001), True), ((0.0011, 0.001), False), ((0.0005, 0.001), False)]
)
def test_a_processor_that_imitates_bfloat16_is_told_by_its_speed(seconds, slow, monkeypatch):
    taken = dict(zip((torch.bfloat16, torch.float32), seconds, strict=True))
    monkeypatch.setattr(bfloat16, "_seconds", taken.__getitem__)
    assert bfloat16.imitated(CPU) is slow
    assert ("--precision float32" in bfloat16.warning(CPU, "--precision")) is slow


def test_a_gpu_says_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert bfloat16.imitated(torch.device("cuda"))


def test_it_is_measured():
    assert 0 < bfloat16._seconds(torch.float32) < 1


def test_who_asks_for_it_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bfloat16, "imitated", lambda device: True)
    asked = ["fig3a", "--out", str(tmp_path / "out"), "--data", "nowhere", "--models", "nothing"]
    for more, told in (([], False), (["--attacks.precision", "bfloat16"], True)):
        with pytest.raises(SystemExit):
            main([*asked, *more])
        assert ("--attacks.precision float32 is the faster" in capsys.readouterr().err) is told
