"""torchaudio beside any torch: transforms work, and what cannot work says why."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pushpull import torchaudio_shim

ROOT = Path(__file__).parents[2]
pytest.importorskip("torchaudio")


def python(code):
    """A fresh interpreter, because an import happens once."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def extension_loads():
    """Asked of a fresh interpreter that has never heard of the stand-in."""
    code = "import torch, torchaudio; print(torchaudio._extension._IS_TORCHAUDIO_EXT_AVAILABLE)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    return done.returncode == 0


def test_transforms_work_after_pushpull():
    code = """
import pushpull
import torch, torchaudio.transforms, torchaudio.functional
wave = torch.sin(torch.arange(16000) * 2 * torch.pi * 1000 / 16000)[None]
spectrum = torchaudio.transforms.MelSpectrogram(16000, n_fft=512)(wave)
resampled = torchaudio.functional.resample(wave, 16000, 8000)
print(tuple(spectrum.shape), tuple(resampled.shape))
"""
    assert python(code) == "(1, 128, 63) (1, 8000)"


def test_stand_in_is_used_only_where_the_extension_cannot_load(extension_loads):
    said = python("import pushpull; print(pushpull.torchaudio_shim.prepare())")
    assert said == str(not extension_loads)


def test_forced_alignment_says_what_is_missing(extension_loads):
    if extension_loads:
        pytest.skip("torchaudio's own extension works here")
    code = """
import pushpull, torch, torchaudio.functional
try:
    torchaudio.functional.forced_align(torch.zeros(1, 4, 3), torch.ones(1, 2, dtype=torch.int32))
except RuntimeError as error:
    print(error)
"""
    said = python(code)
    assert "forced_align" in said and "compiled extension" in said and "Install the torchaudio build" in said


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.delitem(sys.modules, torchaudio_shim.MODULE, raising=False)


def test_prepare_leaves_a_working_extension_alone(fresh, monkeypatch):
    monkeypatch.setattr(torchaudio_shim, "_loads", lambda library: True)
    assert torchaudio_shim.prepare() is False
    assert torchaudio_shim.MODULE not in sys.modules


def test_prepare_steps_in_for_a_broken_extension_once(fresh, monkeypatch):
    monkeypatch.setattr(torchaudio_shim, "_loads", lambda library: False)
    assert torchaudio_shim.prepare() is True
    stub = sys.modules[torchaudio_shim.MODULE]
    assert torchaudio_shim.prepare() is True and sys.modules[torchaudio_shim.MODULE] is stub
    assert not stub._IS_TORCHAUDIO_EXT_AVAILABLE
    monkeypatch.delitem(sys.modules, torchaudio_shim.MODULE)


def test_prepare_without_torchaudio_does_nothing(fresh, monkeypatch):
    monkeypatch.setattr(torchaudio_shim.importlib.util, "find_spec", lambda name: None)
    assert torchaudio_shim.prepare() is False
    assert torchaudio_shim.MODULE not in sys.modules


def test_loads_tells_a_library_from_something_else(tmp_path):
    broken = tmp_path / "_torchaudio.so"
    broken.write_bytes(b"not a library")
    assert not torchaudio_shim._loads(broken)
    libraries = sorted((Path(torch.__file__).parent / "lib").glob("libtorch_cpu*"))
    if not libraries:
        pytest.skip("this torch keeps its libraries elsewhere")
    assert torchaudio_shim._loads(libraries[0])
