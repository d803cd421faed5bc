"""A loss or a gradient that is no number: what it costs, and what is said."""

import pytest
import torch
from rows_support import log_of, tiny

from pushpull.training import trainer as training
from pushpull.training.trainer import train


def run(out, **options):
    return train(tiny(warmup_frames=0, **options), out, progress=False)


def spoil_gradients(monkeypatch, steps):
    """The loss of these steps keeps its value, and its gradient is no number: the slope of a root at 0."""
    plain = training.training_loss

    def spoilt(options, outputs, labels, step):
        loss, parts = plain(options, outputs, labels, step)
        return (loss + (0 * outputs.e_a.sum()).sqrt() if step in steps else loss), parts

    monkeypatch.setattr(training, "training_loss", spoilt)


def gradients(out):
    return [entry["gradient"] for entry in log_of(out) if "loss" in entry]


def test_a_loss_that_is_no_number_stops_with_advice(footage, tmp_path):
    with pytest.raises(FloatingPointError, match="lower --learning-rate than 1e.30"):
        run(tmp_path, learning_rate=1e30, ramp=1)
    state = tmp_path / "state.pt"
    # CachedPool is at most what was saved before, never running statistics that the bad step has spoilt.
    assert not state.exists() or all(x.isfinite().all() for x in torch.load(state, weights_only=True)["model"].values())


def test_a_gradient_that_is_no_number_costs_its_step_alone(footage, tmp_path, monkeypatch):
    spoil_gradients(monkeypatch, {1})
    states = {}
    for frames in (25, 50):  # one step of 25, and the spoilt one after it
        run(tmp_path / str(frames), frames=frames, schedule="exponential")
        state = torch.load(tmp_path / f"{frames}/state.pt", weights_only=True)["model"]
        states[frames] = {name: x for name, x in state.items() if "running" not in name and "batches" not in name}
    assert all(torch.equal(x, states[50][name]) for name, x in states[25].items())
    first, second = gradients(tmp_path / "50")
    assert first > 0 and second is None
    run(tmp_path / "on")
    assert [norm is None for norm in gradients(tmp_path / "on")] == [False, True, False, False]


def test_gradients_that_stay_no_numbers_stop_the_run(footage, tmp_path, monkeypatch):
    spoil_gradients(monkeypatch, range(100))
    monkeypatch.setattr(training, "MOST_USELESS", 2)
    with pytest.raises(FloatingPointError, match="its gradient nan at step 2: .* lower --learning-rate"):
        run(tmp_path)


def test_a_run_that_is_gone_on_with_goes_on_counting(footage, tmp_path, monkeypatch):
    spoil_gradients(monkeypatch, range(100))
    monkeypatch.setattr(training, "MOST_USELESS", 2)
    for step in range(2):  # stopped by hand after each
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                training.Stopping, "wanted", property(lambda self: True, lambda self, wanted: None), raising=False
            )
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path)
        assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == step + 1
    with pytest.raises(FloatingPointError, match="at step 2: "):
        run(tmp_path)
