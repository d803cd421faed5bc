"""Universal noise: known optima, any offset, exact budgets, files, controls, and the attack that applies it."""

import json
import wave
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from universal_support import LinearDetector, grey_clip

from pushpull.attacks import Cancelled, FitOptions, Universal, UniversalNoise, fit_universal, load_noise, paper_budget
from pushpull.attacks.looped import apply, full_budget, placed, random_noise, scrambled_noise
from pushpull.attacks.universal import RULES
from pushpull.clip import SAMPLES_PER_FRAME
from pushpull.files import sha256
from pushpull.runs.spec import RunSpec
from pushpull.universal import main as command

QUICK = {"steps": 30, "batch": 2, "frames": 2, "loop": 1000}


def noise_of(eps_av=20.0, loop=1000, seed=0, modality="both"):
    """A noise of random values, inside its budget and at its edges."""
    generator = torch.Generator().manual_seed(seed)
    eps = {name: budget.eps for name, budget in paper_budget(eps_av, modality).items() if budget.eps}
    shapes = {"audio": (loop,), "video": (112, 112)}
    shares = {name: (3 * torch.rand(shapes[name], generator=generator) - 1.5).clamp(-1, 1) for name in eps}
    return full_budget(shares, eps, {"options": {"goal": "flip"}})


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("goal", "bias", "labels", "sign"), [
    ("speak", -1000, None, 1),
    ("silence", 1000, None, -1),
    ("flip", 1000, None, -1),  # without labels, what the detector says is right: it speaks
    ("flip", -1000, [1] * 4, -1),  # with labels, they are
    ("flip", 1000, [0] * 4, 1),
])  # fmt: skip
def test_on_a_linear_detector_the_optimum_is_found(goal, bias, labels, sign, rule):
    model, budgets = LinearDetector(bias), paper_budget(10)
    clips = [grey_clip(4, seed, labels) for seed in range(3)]
    options = FitOptions(goal=goal, rule=rule, cap=1e9, **QUICK)
    noise = fit_universal(model, clips, budgets=budgets, options=options)
    edge = full_budget({"video": torch.ones(1, 1)}, {"video": budgets["video"].eps}, {}).video
    assert torch.equal(noise.video, sign * torch.sign(model.video.detach()) * edge)
    assert (noise.audio == noise.audio[0]).all() and noise.audio[0].sign() == sign
    assert noise.audio[0].abs().item() == pytest.approx(budgets["audio"].eps, rel=1e-6)


def test_a_frame_that_is_won_by_the_cap_leaves_the_effort_to_others():
    """Clip 0 is won without any noise; all gradients are then the other's, and of clip 0 alone there is none."""
    options = FitOptions(goal="speak", **QUICK)
    with pytest.raises(ValueError, match="no gradient ever reached audio and video"):
        fit_universal(LinearDetector(1000), [grey_clip()], budgets=paper_budget(10), options=options)


def test_a_short_clip_shortens_no_batch_but_its_own():
    class Watched(LinearDetector):
        def forward(self, inputs):
            seen.append(inputs["video"].shape[1])
            return super().forward(inputs)

    seen, clips = [], [grey_clip(6, 0, [1] * 6), grey_clip(5, 1, [1] * 5), grey_clip(2, 2, [1] * 2)]
    options = FitOptions(steps=12, batch=1, frames=4, loop=1000)
    fit_universal(Watched(1000), clips, budgets=paper_budget(5), options=options)
    assert set(seen) == {4, 2}


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_a_modality_without_a_budget_is_left_alone(modality):
    noise = fit_universal(
        LinearDetector(-1000), [grey_clip()], budgets=paper_budget(10, modality), options=FitOptions(**QUICK)
    )
    assert list(noise.parts) == [modality] == [noise.modality] and list(noise.eps) == [modality]
    other = {"audio": "video", "video": "audio"}[modality]
    inputs = grey_clip().inputs()
    moved = apply(inputs, noise)
    assert torch.equal(moved[other], inputs[other]) and not torch.equal(moved[modality], inputs[modality])


def test_the_same_seed_gives_the_same_noise_and_leaves_the_detector_as_it_was():
    model = LinearDetector(-1000).train()
    clips = [grey_clip(seed=seed) for seed in range(3)]
    first, again, other = (
        fit_universal(
            model, clips, budgets=paper_budget(5), options=FitOptions(goal="speak", seed=seed, **QUICK | {"steps": 2})
        )
        for seed in (0, 0, 1)
    )
    assert first.sha256 == again.sha256 != other.sha256
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())


@pytest.mark.parametrize("stop", ["false", "raise"])
def test_a_cancelled_fit_returns_the_noise_so_far(stop):
    seen = []

    def on_step(step):
        seen.append(step)
        if step.step == 3:
            if stop == "raise":
                raise Cancelled
            return False

    noise = fit_universal(
        LinearDetector(), [grey_clip()], budgets=paper_budget(5), options=FitOptions(**QUICK), on_step=on_step
    )
    assert noise.facts["steps_done"] == 3 and [step.step for step in seen] == [1, 2, 3]
    assert seen[0].steps == 30 and 0 <= seen[0].won_share <= 1 and set(seen[0].zero_grad_share) == {"audio", "video"}


def test_what_cannot_be_fitted_is_refused():
    clip, model = grey_clip(), LinearDetector()
    with pytest.raises(ValueError, match="no modality has a budget"):
        fit_universal(model, [clip], budgets=paper_budget(0))
    with pytest.raises(ValueError, match="no clips"):
        fit_universal(model, [], budgets=paper_budget(5))
    with pytest.raises(ValueError, match="passes no gradients"):
        fit_universal(lambda x: model({n: v.detach() for n, v in x.items()}), [clip], budgets=paper_budget(5))
    deaf = lambda x: model(x | {"audio": 0 * x["audio"].detach()})  # noqa: E731
    with pytest.raises(ValueError, match="no gradient ever reached audio"):
        fit_universal(deaf, [clip], budgets=paper_budget(5), options=FitOptions(**QUICK))
    with pytest.raises(ValueError, match="objective is nan"):
        fit_universal(LinearDetector(float("nan")), [clip], budgets=paper_budget(5), options=FitOptions(**QUICK))


@pytest.mark.parametrize(
    ("name", "value"),
    [("goal", "shout"), ("rule", "sgd"), ("objective", "x"), ("objective", "features"),
     ("steps", 0), ("batch", 1.5), ("loop", 0), ("frames", -1),
     ("seed", -1), ("step_size", -1), ("cap", float("nan")), ("momentum", 1.0), ("momentum", -0.1)],
)  # fmt: skip
def test_options_refuse_what_is_no_value_of_them(name, value):
    with pytest.raises(ValueError, match=name):
        FitOptions(**{name: value})


@pytest.mark.parametrize("offset", [0, 1, 640, 999, 1000, 123_456, -1])
def test_the_loop_begins_anywhere_and_goes_round(offset):
    loop = torch.arange(1000.0)
    assert placed("audio", loop, (1, 2560), offset)[0].tolist() == [(offset + n) % 1000 for n in range(2560)]


def test_every_clip_of_a_batch_has_an_offset_of_its_own():
    noise = noise_of()
    clips = [grey_clip(3, seed) for seed in range(3)]
    batch = {name: torch.cat([clip.inputs()[name] for clip in clips]) for name in ("audio", "video")}
    moved = apply(batch, noise, [5, 700, 12_345])
    for index, offset in enumerate((5, 700, 12_345)):
        alone = apply(clips[index].inputs(), noise, offset)
        for name, values in alone.items():
            assert torch.equal(values[0], moved[name][index])
    with pytest.raises(ValueError, match="one for each of the 3 clips"):
        apply(batch, noise, [1, 2])
    with pytest.raises(ValueError, match="whole number"):
        apply(batch, noise, 0.5)


def test_a_clip_that_goes_on_is_disturbed_as_if_it_had_not_been_cut():
    noise, clip = noise_of(), grey_clip(6)
    whole, rest = apply(clip, noise, 7), apply(clip.span(2, 6), noise, 7 + 2 * SAMPLES_PER_FRAME)
    assert np.array_equal(whole.span(2, 6).audio, rest.audio) and np.array_equal(whole.span(2, 6).video, rest.video)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("eps_av", [0.3, 5, 20])
def test_budget_and_range_hold_to_the_last_bit(eps_av, dtype):
    noise, clip = noise_of(eps_av), grey_clip(2)
    audio = clip.inputs()["audio"].to(dtype)
    audio[:, :400] = torch.tensor([-1.0, 1.0, 32767 / 32768, 0.0], dtype=dtype).repeat(100)
    video = clip.inputs()["video"].to(dtype)
    video[:, :, :56] = torch.tensor([0.0, 255.0] * 56, dtype=dtype)
    moved = apply({"audio": audio, "video": video}, noise, 3)
    for name, x in {"audio": audio, "video": video}.items():
        eps, budget = Fraction(noise.eps[name]), noise.budgets[name]
        assert moved[name].dtype == dtype
        assert all(abs(Fraction(u) - Fraction(v)) <= eps for u, v in
                   zip(moved[name].flatten()[:3000].tolist(), x.flatten()[:3000].tolist(), strict=True))  # fmt: skip
        assert ((moved[name] - x).abs().double() <= budget.eps).all() and (moved[name] != x).any()
        assert moved[name].min() >= budget.lo and moved[name].max() <= budget.hi


@pytest.mark.parametrize("eps_av", [0.1, 0.7, 5, 15, 20, 33.3])
def test_the_joint_budget_is_found_again(eps_av):
    noise = noise_of(eps_av)
    assert noise.eps_av == pytest.approx(eps_av, rel=1e-9)
    assert all(noise.eps[name] <= budget.eps for name, budget in paper_budget(noise.eps_av).items())


def test_a_noise_refuses_what_is_none():
    audio, video = torch.zeros(10), torch.zeros(4, 4)
    for arguments, says in [
        ((None, None, {}), "needs sound, a picture or both"),
        ((audio, None, {}), "eps must be of audio"),
        ((audio, None, {"audio": 1, "video": 1}), "eps must be of audio"),
        ((audio[None], None, {"audio": 1}), r"audio must be \(L,\)"),
        ((None, video.double(), {"video": 1}), r"video must be \(H, W\)"),
        ((audio + 2, None, {"audio": 1.0}), "beyond its eps"),
        ((audio * float("nan"), None, {"audio": 1.0}), "beyond its eps"),
    ]:
        with pytest.raises(ValueError, match=says):
            UniversalNoise(*arguments)
    with pytest.raises(ValueError, match=r"picture is \(4, 4\)"):
        apply(grey_clip(), UniversalNoise(None, video, {"video": 1.0}))
    with pytest.raises(ValueError, match="audio, which the clips have not"):
        apply({"video": torch.zeros(1, 2, 112, 112)}, noise_of())


@pytest.mark.parametrize("make", [random_noise, scrambled_noise])
def test_controls_have_the_same_shape_and_the_whole_budget(make):
    noise = noise_of()
    control, again, other = make(noise, 1), make(noise, 1), make(noise, 2)
    assert control.eps == noise.eps and control.facts["of"] == noise.sha256
    for name, values in control.parts.items():
        assert values.shape == noise.parts[name].shape
        assert values.abs().unique().numel() == 1 and values.abs().max().item() == pytest.approx(noise.eps[name])
        assert 0.4 < (values > 0).float().mean() < 0.6
        assert torch.equal(values, again.parts[name]) and not torch.equal(values, other.parts[name])


def test_the_stricter_control_keeps_the_colour_and_loses_the_shape():
    time = torch.arange(16_000) / 16_000
    hiss = torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    tone = 1e-3 * torch.sin(2 * torch.pi * 440 * time) + 2e-4 * hiss
    noise = UniversalNoise(tone, None, {"audio": 2e-3})
    scrambled, random = scrambled_noise(noise).audio, random_noise(noise).audio
    power = lambda x: torch.fft.rfft(x).abs() ** 2  # noqa: E731
    assert power(scrambled).argmax() == power(noise.audio).argmax() == 440
    assert power(scrambled)[440] / power(scrambled).sum() > 0.5 > 0.01 > power(random)[440] / power(random).sum()


def test_a_file_gives_back_every_bit(tmp_path):
    noise = noise_of()
    path = noise.save(tmp_path / "deep" / "noise")
    again = load_noise(path)
    assert path.name == "noise.safetensors" and sha256(path) == noise.sha256 == again.sha256
    assert again.eps == noise.eps and again.facts == noise.facts
    assert torch.equal(again.audio, noise.audio) and torch.equal(again.video, noise.video)
    alone = load_noise(noise_of(modality="audio").save(tmp_path / "sound"))
    assert alone.video is None and alone.modality == "audio"


def test_a_fitted_noise_says_where_it_comes_from(tmp_path):
    facts = {"detector": {"name": "linear", "sha256": "abc"}, "data": {"fingerprint": "f"}}
    options = FitOptions(goal="speak", seed=4, **QUICK)
    noise = fit_universal(LinearDetector(-9), [grey_clip()], budgets=paper_budget(5), options=options, facts=facts)
    again = load_noise(noise.save(tmp_path / "n")).facts
    assert again["detector"] == facts["detector"] and again["data"] == facts["data"]
    assert FitOptions(**again["options"]) == options and again["steps_done"] == 30


def test_files_that_are_no_noise_are_told_apart(tmp_path):
    good = noise_of().save(tmp_path / "good")
    content = good.read_bytes()
    files = {"cut": content[: len(content) // 2], "head": content[:20], "text": b"hello", "empty": b""}
    for name, part in files.items():
        (tmp_path / name).write_bytes(part)
        with pytest.raises(ValueError, match="damaged or no safetensors"):
            load_noise(tmp_path / name)
    with pytest.raises(ValueError, match="there is no noise at"):
        load_noise(tmp_path / "missing.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "model")
    with pytest.raises(ValueError, match="holds no universal noise: it has weight"):
        load_noise(tmp_path / "model")
    fine = {"format": "pushpull.universal/1", "eps": {"audio": 1.0}, "facts": {}}
    for said, tensors in [
        ("{", {}),
        ("[]", {}),
        (json.dumps(fine | {"format": "pushpull.universal/9"}), {}),
        (json.dumps({k: v for k, v in fine.items() if k != "eps"}), {}),
        (json.dumps(fine | {"eps": 3}), {}),
        (json.dumps(fine | {"eps": {"audio": "1"}}), {}),
        (json.dumps(fine), {"other": torch.zeros(2)}),
        (json.dumps(fine), {"audio": torch.full((2,), 2.0)}),
    ]:
        save_file({"audio": torch.zeros(2), **tensors}, tmp_path / "odd", {"universal": said})
        with pytest.raises(ValueError, match="this version cannot read"):
            load_noise(tmp_path / "odd")


def test_ears_and_eyes_get_it_magnified(tmp_path):
    noise = noise_of(loop=16_000)
    written = noise.export(tmp_path / "look")
    with wave.open(str(written["audio"])) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (16_000, 1, 48_000)
        samples = np.frombuffer(sound.readframes(48_000), "<i2")
    assert np.array_equal(samples[:16_000], samples[16_000:32_000]) and samples.max() == 32_767
    assert np.corrcoef(samples[:16_000], noise.audio)[0, 1] > 0.999
    picture = np.asarray(Image.open(written["video"]))
    assert picture.shape == (112, 112) and picture.min() == 0 and picture.max() == 255
    assert np.corrcoef(picture.ravel(), noise.video.ravel())[0, 1] > 0.999
    assert list(noise_of(modality="video").export(tmp_path / "mute")) == ["video"]


def test_the_attack_adds_what_the_file_holds(tmp_path):
    noise, clip, model = noise_of(10), grey_clip(), LinearDetector()
    attack = Universal(noise=str(noise.save(tmp_path / "n")), offset=77)
    assert attack.sha256 == noise.sha256
    labels = torch.ones(1, 4, dtype=torch.int64)
    result = attack.run(model, clip.inputs(), labels, budgets=paper_budget(10), objective="margin")
    for name, values in apply(clip.inputs(), noise, 77).items():
        assert torch.equal(result.adversarial[name], values)
    assert len(result.trace) == 2 and model.calls == 2, "the clip and the disturbed clip, and no search"
    smaller = attack.run(model, clip.inputs(), labels, budgets=paper_budget(4, "audio"), objective="margin")
    assert smaller.delta["audio"].abs().max() <= 4e-4 and not smaller.delta["video"].any()


def test_the_attack_is_kept_also_where_it_makes_things_worse(tmp_path):
    """An attacker who cannot look does not go back to the clean clip."""
    noise = full_budget({"video": torch.sign(LinearDetector().video.detach())}, {"video": 1.0}, {})
    attack = Universal(noise=str(noise.save(tmp_path / "n")))
    labels = torch.ones(1, 4, dtype=torch.int64)
    result = attack.run(LinearDetector(), grey_clip().inputs(), labels, budgets=paper_budget(10), objective="margin")
    assert result.loss < result.clean_loss and result.delta["video"].any()


def test_a_spec_holds_the_noise_by_its_hash(tmp_path):
    path = noise_of().save(tmp_path / "n")
    spec = RunSpec(attack=Universal(noise=str(path), offset=5))
    assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec and spec.attack_name == "universal"
    noise_of(seed=1).save(tmp_path / "n")
    run = {"budgets": paper_budget(5), "objective": "margin"}
    with pytest.raises(ValueError, match="another noise: its SHA-256"):
        spec.attack.run(LinearDetector(), grey_clip().inputs(), torch.ones(1, 4, dtype=torch.int64), **run)
    with pytest.raises(ValueError, match="needs a noise"):
        Universal().run(LinearDetector(), grey_clip().inputs(), torch.ones(1, 4, dtype=torch.int64), **run)
    with pytest.raises(ValueError, match="there is no noise"):
        Universal(noise=str(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("there", "arguments"),
    [
        ("noise.safetensors", ["fit", "--out", "noise.safetensors", "--data", "talkset:nowhere"]),
        ("shown.wav", ["show", "kept.safetensors", "--out", "shown"]),
        ("shown.png", ["show", "kept.safetensors", "--out", "shown"]),
        ("shown-figure.png", ["show", "kept.safetensors", "--out", "shown"]),
    ],
)
def test_commands_replace_no_file_unless_told_to(tmp_path, monkeypatch, capsys, there, arguments):
    monkeypatch.chdir(tmp_path)
    shares = {"audio": torch.ones(2000), "video": torch.ones(112, 112)}
    full_budget(shares, {"audio": 1e-4, "video": 0.1}, {}).save("kept")
    (tmp_path / there).write_text("somebody's")
    assert command(arguments) == 2
    assert f"{there} already there" in capsys.readouterr().err
    assert (tmp_path / there).read_text() == "somebody's"
    assert command([*arguments, "--overwrite"]) == (2 if arguments[0] == "fit" else 0)  # there is no folder nowhere
    assert "already there" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--seconds", "inf", "above 0, got inf"),
        ("--seconds", "nan", "above 0, got nan"),
        ("--seconds", "-1", "above 0, got -1"),
        ("--clips", "-3", "got -3"),
    ],
)
def test_lengths_and_counts_that_make_no_sense_are_refused(tmp_path, capsys, flag, value, message):
    assert command(["fit", "--out", str(tmp_path / "n.safetensors"), "--videos", "a.mp4", f"{flag}={value}"]) == 2
    assert message in capsys.readouterr().err
