"""Long tracks in windows: short ones untouched, the average is right, attacks reach what is scored."""

import pytest
import torch

from pushpull.attacks import PGD, paper_budget
from pushpull.detectors import Card, TalkNet, TalkNetConfig, load_detector, save_checkpoint, wrap
from pushpull.detectors.windowed import Windowed, window_starts, windowed


def inputs_of(frames, clips=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "audio": torch.rand(clips, 640 * frames, generator=generator) - 0.5,
        "video": 255 * torch.rand(clips, frames, 112, 112, generator=generator),
    }


@pytest.fixture(scope="module")
def talknet():
    torch.manual_seed(0)
    return TalkNet(TalkNetConfig(size="lite")).eval().requires_grad_(False)


@pytest.mark.parametrize("frames", [1, 24, 25])
def test_tracks_up_to_a_window_are_scored_as_before(talknet, frames):
    inputs = inputs_of(frames)
    for whole, same in zip(talknet(inputs), Windowed(talknet, 1.0)(inputs), strict=True):
        assert torch.equal(whole, same)


@pytest.mark.parametrize("frames, window", [(26, 25), (50, 25), (63, 24), (10, 2), (7, 3)])
def test_windows_cover_every_frame_and_none_is_beyond(frames, window):
    starts = window_starts(frames, window)
    held = [sum(s <= t < s + window for s in starts) for t in range(frames)]
    assert min(held) >= 1 and starts[0] == 0 and starts[-1] + window == frames
    assert starts == sorted(set(starts))


@pytest.mark.parametrize("clips", [1, 2])
def test_a_detector_that_sees_single_frames_gives_the_same_in_windows(clips):
    single = wrap(lambda audio, video: video.mean((2, 3)) / 100 - 1, front_end="waveform")
    inputs = inputs_of(70, clips)
    assert torch.allclose(Windowed(single, 1.0)(inputs).margin, single(inputs).margin, atol=1e-5)


def test_far_away_frames_do_not_matter(talknet):
    inputs, windowed = inputs_of(90), Windowed(talknet, 1.0)
    other = {name: value.clone() for name, value in inputs.items()}
    other["video"][:, 60:] = 0
    other["audio"][:, 640 * 60 :] = 0
    before, after = windowed(inputs).margin[0], windowed(other).margin[0]
    assert torch.allclose(before[:36], after[:36], atol=1e-5) and not torch.allclose(before[60:], after[60:], atol=1e-3)
    assert not torch.allclose(talknet(inputs).margin[0, :36], talknet(other).margin[0, :36], atol=1e-5)


@pytest.mark.parametrize("frozen", [("audio",), ("video",), ("audio", "video"), ()])
def test_fixed_modalities_and_the_fast_copy_give_the_same(talknet, frozen):
    inputs, windowed = inputs_of(60), Windowed(talknet, 1.0)
    wanted = windowed(inputs).margin
    others = {name: value for name, value in inputs.items() if name not in frozen}
    for same in (windowed, windowed.fast()):
        found = same.fix({name: inputs[name] for name in frozen})(others).margin
        assert torch.allclose(found, wanted, atol=1e-3)


def test_a_fixed_track_serves_several_of_the_other_modality(talknet):
    windowed, two = Windowed(talknet, 1.0), inputs_of(60, clips=2)
    one = two["video"][:1]
    together = windowed.fix({"video": one})({"audio": two["audio"]}).margin
    alone = [windowed({"audio": two["audio"][i : i + 1], "video": one}).margin for i in range(2)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-3)


def test_gradients_reach_every_frame_of_both_inputs(talknet):
    inputs = {name: value.requires_grad_() for name, value in inputs_of(60).items()}
    Windowed(talknet, 1.0)(inputs).margin.sum().backward()
    assert (inputs["video"].grad.abs().sum((0, 2, 3)) > 0).all()
    assert (inputs["audio"].grad.reshape(60, 640).abs().sum(1) > 0).all()


def test_memory_is_bounded_by_shares_that_change_nothing(talknet, monkeypatch):
    inputs = inputs_of(80)
    at_once = Windowed(talknet, 1.0)(inputs).margin
    monkeypatch.setattr("pushpull.detectors.windowed.AT_ONCE", 25)
    assert torch.allclose(Windowed(talknet, 1.0)(inputs).margin, at_once, atol=1e-4)


def test_wrong_windows_and_inputs_are_refused(talknet):
    with pytest.raises(ValueError, match="two frames"):
        Windowed(talknet, 0.04)
    inputs = inputs_of(60)
    with pytest.raises(ValueError, match="differ in length"):
        Windowed(talknet, 1.0)(inputs | {"audio": inputs["audio"][:, :640]})
    assert Windowed(talknet, 1.0).card["window_seconds"] == 1.0


@pytest.mark.parametrize("seconds", [None, 0.8])
def test_the_card_says_how_long_tracks_are_scored(talknet, tmp_path, seconds):
    path = save_checkpoint(tmp_path / "mine", talknet, {} if seconds is None else {"window_seconds": seconds})
    loaded, inputs = load_detector(path, "cpu"), inputs_of(60)
    wanted = talknet(inputs) if seconds is None else Windowed(talknet, seconds)(inputs)
    assert torch.allclose(loaded(inputs).margin, wanted.margin, atol=1e-4)
    assert loaded.card.get("window_seconds") == seconds and loaded.card["sha256"] and not loaded.training
    assert windowed(loaded) is loaded


@pytest.mark.parametrize("wrong", [0, -1.0, "3", True, float("nan"), float("inf")])
def test_a_card_with_a_wrong_window_is_refused(wrong):
    with pytest.raises(ValueError, match="window_seconds"):
        Card(window_seconds=wrong)


def test_an_attack_on_a_long_track_attacks_what_is_scored(talknet):
    scored, inputs = Windowed(talknet, 0.8), inputs_of(50)
    labels = (scored(inputs).margin > 0).long()
    result = PGD(steps=3).run(scored, inputs, labels, budgets=paper_budget(0.5), seed=0)
    assert (scored(result.adversarial).margin * (2 * labels - 1)).mean() < (
        scored(inputs).margin * (2 * labels - 1)
    ).mean()
