"""Several processes train as one does, and a killed run ends in the same bits."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from process_support import ENVIRONMENT, write_script
from rows_support import log_of, same, tiny, weights

from pushpull.training import trainer as training
from pushpull.training.trainer import train


def test_two_processes_give_what_one_gives(tmp_path):
    """torchrun, gloo, on the CPU: the gradients are the mean over both, whatever is logged over all frames."""
    # Plain steps: Adam divides a gradient by its size, and would blow rounding up where that is nearly 0.
    options = {"accumulate": 2, "frames": 150, "warmup_frames": 50, "adversarial": "bim", "learning_rate": 1e-4}
    script = write_script(tmp_path, options)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    for command, out in (([sys.executable], "one"), (torchrun, "two")):
        done = subprocess.run(
            [*command, str(script), str(tmp_path / out)], env=ENVIRONMENT, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (weights(tmp_path / out / "tiny.safetensors") for out in ("one", "two"))
    for name in one:
        if one[name].is_floating_point() and "running" not in name:
            assert torch.allclose(one[name], two[name], atol=2e-3), name
    # Weights hardly move in three such steps. The optimizer's means of gradients would tell a sum, or one's own, apart.
    one, two = (gradients(tmp_path / out) for out in ("one", "two"))
    assert (one - two).norm() < 0.02 * one.norm()
    losses = [[e["loss"] for e in log_of(tmp_path / out) if "loss" in e] for out in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3) and len(losses[0]) == 3


def gradients(out):
    """Adam's running means of them, as one vector."""
    moments = torch.load(out / "state.pt", weights_only=True)["optimizer"]["state"]
    return torch.cat([moments[number]["exp_avg"].flatten() for number in sorted(moments)])


def test_processes_that_cannot_share_a_step_are_refused(footage, tmp_path, monkeypatch):
    monkeypatch.setattr(training.World, "__enter__", lambda self: self)
    monkeypatch.setattr(training.World, "__exit__", lambda *_: None)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="--accumulate a multiple of 3"):
        train(tiny(accumulate=2), tmp_path, progress=False)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_in_the_same_bits(tmp_path):
    """kill -9, twice, wherever it strikes; a process that saves after every step."""
    script = write_script(tmp_path, {"frames": 300, "save_seconds": 0.0})
    command = [sys.executable, str(script)]
    subprocess.run([*command, str(tmp_path / "whole")], env=ENVIRONMENT, check=True, timeout=300)
    out = tmp_path / "cut"
    for steps in (2, 7):
        process = subprocess.Popen([*command, str(out)], env=ENVIRONMENT)
        while process.poll() is None and not ((out / "log.jsonl").exists() and len(log_lines(out)) >= steps):
            time.sleep(0.01)
        process.kill()
        process.wait()
    assert not (out / "tiny.safetensors").exists(), "killed before its end"
    subprocess.run([*command, str(out)], env=ENVIRONMENT, check=True, timeout=300)
    assert same(out / "tiny.safetensors", tmp_path / "whole/tiny.safetensors")


def test_a_job_manager_that_ends_every_process_loses_nothing(tmp_path):
    """Slurm and systemd signal the whole group: the process that makes batches must not go before the step is done."""
    script = write_script(tmp_path, {"frames": 100_000, "workers": 1})
    command = [sys.executable, str(script), str(tmp_path / "out")]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not ((tmp_path / "out/log.jsonl").exists() and len(log_lines(tmp_path / "out"))):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0 and said.rstrip().endswith("KeyboardInterrupt"), said
    state = torch.load(tmp_path / "out/state.pt", weights_only=True)
    assert state["step"] == len(log_lines(tmp_path / "out"))


def log_lines(out):
    return (out / "log.jsonl").read_text().splitlines()


def test_two_processes_do_not_train_into_one_folder(footage, tmp_path):
    code = "import sys; from pathlib import Path; from pushpull.files import alone\n"
    code += "with alone(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(ValueError, match="another process works in .*: wait until it is done"):
            train(tiny(), tmp_path, progress=False)
        other.kill()
    assert train(tiny(), tmp_path, progress=False).exists()
