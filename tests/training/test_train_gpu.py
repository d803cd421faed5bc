"""Training on a GPU: what differs from a processor is the precision, page-locked batches and who makes them."""

import socket
import subprocess
import sys

import pytest
import torch
from process_support import ENVIRONMENT, write_script
from rows_support import log_of, same, tiny, weights

from pushpull.training.trainer import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_a_run_trains_and_can_be_stopped_and_resumed(footage, tmp_path, precision, workers):
    options = tiny(device="cuda", precision=precision, workers=workers, row="B1", adversarial="bim")
    path = train(options, tmp_path, progress=False)
    losses = [entry["loss"] for entry in log_of(tmp_path) if "loss" in entry]
    assert len(losses) == options.steps and all(torch.isfinite(x).all() for x in weights(path).values())
    assert same(path, train(options, tmp_path, progress=False)), "a finished run is only written again"


def test_both_precisions_begin_alike(footage, tmp_path):
    first = {}
    for precision in ("float32", "bfloat16"):
        train(tiny(device="cuda", precision=precision), tmp_path / precision, progress=False)
        first[precision] = next(entry["loss"] for entry in log_of(tmp_path / precision) if "loss" in entry)
    # Of two clips of ten frames, normalised by each other: 2.5 % apart on an H100.
    assert first["bfloat16"] == pytest.approx(first["float32"], rel=0.05)


def test_the_processor_and_the_gpu_begin_alike(footage, tmp_path):
    first = {}
    for device in ("cpu", "cuda"):
        train(tiny(device=device, precision="float32"), tmp_path / device, progress=False)
        first[device] = next(entry["loss"] for entry in log_of(tmp_path / device) if "loss" in entry)
    # Dropout is each device's own, and convolutions on the GPU have 10-bit factors: 0.3 % apart on an H100.
    assert first["cuda"] == pytest.approx(first["cpu"], rel=0.01)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_as_one_does(footage, tmp_path):
    options = {"device": "cuda", "precision": "float32", "accumulate": 2, "frames": 200, "workers": 1}
    one = train(tiny(**options), tmp_path / "one", progress=False)
    script = write_script(tmp_path, options)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master-port={port}"]
    subprocess.run([*line, str(script), str(tmp_path / "two")], check=True, timeout=300, env=ENVIRONMENT)
    two = weights(tmp_path / "two/tiny.safetensors")
    for name, value in weights(one).items():
        assert torch.allclose(value.float(), two[name].float(), atol=2e-3), name
