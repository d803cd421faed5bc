"""The perturb command: what it writes, repeats, refuses and keeps when it is stopped."""

import json
import shutil
import signal

import numpy as np
import pandas as pd
import pytest
from perturb_support import FRAMES, make_world, write_detector, write_people
from PIL import Image

from pushpull import perturb
from pushpull.clip import FPS, SAMPLES_PER_FRAME
from pushpull.media import quantise_audio, read_audio, read_frames, read_stimulus
from pushpull.metrics import average_precision
from pushpull.runs.labels import read_labels
from pushpull.runs.report import read_report
from pushpull.runs.save import FILES

QUICK = ("--face", "1", "--attack", "pgd", "--steps", "2", "--restarts", "2", "--seed", "3", "--eps-av", "10")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def done(world):
    """A finished run: its folder and its report."""
    out = world.video.parent / "done"
    assert perturb.main(world.run(*QUICK, out=out)) == 0
    return out, json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_every_file_is_there_and_can_be_read(world, done):
    out, report = done
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert set(report["files"]) | {"report.json"} == set(FILES)
    for name in FILES:
        if name.endswith(".png"):
            assert np.asarray(Image.open(out / name).convert("L")).std() > 5
        elif name in ("annotated.mp4", "adversarial_scene.mp4"):
            assert len(list(read_frames(out / name))) == FRAMES
            assert len(read_audio(out / name)) >= FRAMES * SAMPLES_PER_FRAME


def test_the_stored_clip_is_bit_exact_and_within_the_budget(world, done):
    out, report = done
    frames, audio = read_stimulus(out / "adversarial_face.mp4")
    clip = world.footage.clips[0]
    eps = {name: budget["eps"] for name, budget in report["budgets"].items()}
    assert eps == {"audio": pytest.approx(1e-3), "video": pytest.approx(1.0)}
    changed = np.abs(frames.astype(int) - clip.video)
    steps = np.abs(audio.astype(int) - quantise_audio(clip.audio))
    assert 0 < changed.max() <= 1 and 0 < steps.max() <= round(eps["audio"] * 32768)
    # The report speaks of this very file.
    kept = report["storage"]["video"]["stored"]
    assert kept["max"] == changed.max() and kept["mean"] == pytest.approx(changed.mean())
    assert report["storage"]["audio"]["stored"]["max"] == steps.max()
    float_column = report["metrics"]["columns"]["adversarial"]
    assert float_column["max_video"] <= eps["video"] and float_column["max_audio"] <= eps["audio"] * 32768


def test_scores_and_report_say_the_same(done):
    out, report = done
    table, columns = pd.read_csv(out / "scores.csv"), report["metrics"]["columns"]
    assert table["frame"].tolist() == list(range(FRAMES)) and table["target"].isna().all()
    np.testing.assert_allclose(table["time_s"], np.arange(FRAMES) / FPS)
    assert (table["label"] == (table["logodds_clean"] > 0)).all(), "without labels the model's decisions count as right"
    for column, name in (("clean", "clean"), ("adversarial", "adversarial"), ("stored", "stored")):
        scores = table[f"logodds_{name}"]
        np.testing.assert_allclose(table[f"probability_{name}"], 1 / (1 + np.exp(-scores)), atol=1e-12)
        assert columns[column]["flipped"] == ((scores > 0) != table["label"]).sum()
        precision = average_precision(scores.to_numpy(np.float32), table["label"].to_numpy())
        assert columns[column]["average_precision"] == pytest.approx(precision)
        assert columns[column]["prevalence"] == pytest.approx(table["label"].mean())
    assert columns["clean"]["frame_accuracy"] == 1 and 0 < table["label"].mean() < 1
    assert len(report["trace"]) == 2 * 3 and report["stopped_after"] is None


def test_a_report_repeats_its_run_bit_for_bit(world, done, tmp_path, capsys):
    out, report = done
    # The options come from the report, the clip from the path in it.
    assert perturb.main(["--from", str(out / "report.json"), "--out", str(tmp_path / "again"), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "Clip, model and versions are those of the report." in said and "bit for bit" in said
    again = json.loads((tmp_path / "again" / "report.json").read_text(encoding="utf-8"))
    for part in ("spec", "digest", "metrics", "storage", "loss", "trace", "checkpoint", "budgets"):
        assert again[part] == report[part], part
    assert (tmp_path / "again" / "scores.csv").read_bytes() == (out / "scores.csv").read_bytes()
    for a, b in zip(
        *(read_stimulus(folder / "adversarial_face.mp4") for folder in (out, tmp_path / "again")), strict=True
    ):
        assert np.array_equal(a, b)


def test_a_report_repeats_its_run_where_the_detector_decided_then(world, done, tmp_path, capsys):
    """The card's points come and change; reports keep theirs, and those from before there were any decide at 0."""
    out, report = done
    weights = shutil.copy(world.checkpoint, tmp_path / "tiny.safetensors")
    card = json.loads(world.checkpoint.with_suffix(".json").read_text(encoding="utf-8"))

    def put(threshold: float) -> None:
        points = {"speaking": {"threshold": threshold, "sha256": card["sha256"]}}
        weights.with_suffix(".json").write_text(json.dumps(card | {"operating_points": points}), encoding="utf-8")

    def again(past, name: str) -> str:
        place = ["--model", str(weights), "--out", str(tmp_path / name), "--device", "cpu"]
        assert perturb.main(["--from", str(past), *place]) == 0
        return capsys.readouterr().out

    put(-30.0)  # far below: every frame speaks
    old = {key: value for key, value in report["checkpoint"].items() if key != "point"}
    (tmp_path / "old.json").write_text(json.dumps(report | {"checkpoint": old}), encoding="utf-8")
    said = again(tmp_path / "old.json", "before")
    assert "decided at its own threshold, log-odds 0" in said and "bit for bit" in said
    assert perturb.main([str(world.video), "--model", str(weights), *QUICK, "--out", str(tmp_path / "new")]) == 0
    assert "It decides at its operating point 'speaking', log-odds -30." in capsys.readouterr().out
    found = json.loads((tmp_path / "new" / "report.json").read_text(encoding="utf-8"))
    assert found["checkpoint"]["point"] == {"name": "speaking", "threshold": -30.0}
    assert found["metrics"]["columns"]["clean"]["prevalence"] == 1 and found["digest"] != report["digest"]
    put(2.0)
    said = again(tmp_path / "new" / "report.json", "after")
    assert "log-odds -30, and so does this one" in said and "bit for bit" in said


def test_a_rerun_on_other_bytes_says_so_and_fails(world, done, tmp_path, capsys):
    out, _ = done
    other = write_people(tmp_path / "longer.mp4", frames=FRAMES + 2)
    weights = write_detector(tmp_path / "other", seed=1)
    arguments = ["--from", str(out / "report.json"), "--out", str(tmp_path / "again"), "--device", "cpu"]
    assert perturb.main([str(other), *arguments, "--model", str(weights)]) == perturb.DIFFERENT
    said = capsys.readouterr().out
    assert "DIFFERENT CLIP" in said and "DIFFERENT MODEL" in said and "NOT THAT OF THE REPORT" in said


def test_results_are_replaced_only_when_asked(world, done, capsys):
    out, _ = done
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert perturb.main(world.run(*QUICK, out=out)) == perturb.REFUSED
    assert "already holds" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def interrupted_at(step, monkeypatch):
    """Ctrl-C is pressed during this evaluation, from 1."""
    real = perturb.execute

    def execute(model, clip, spec, on_step):
        count = 0

        def pressed(event):
            nonlocal count
            count += 1
            if count == step:
                signal.raise_signal(signal.SIGINT)
            return on_step(event)

        return real(model, clip, spec, pressed)

    monkeypatch.setattr(perturb, "execute", execute)


def test_ctrl_c_keeps_the_best_so_far_and_can_be_repeated(world, tmp_path, monkeypatch, capsys):
    out = tmp_path / "stopped"
    arguments = world.run("--face", "1", "--attack", "bim", "--steps", "50", "--modality", "audio", out=out)
    with monkeypatch.context() as patch:
        interrupted_at(3, patch)
        assert perturb.main(arguments) == 0
    assert "Stopped early, after 3 evaluations" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["stopped_after"] == 3 and len(report["trace"]) == 3
    assert report["loss"]["adversarial"] == pytest.approx(max(step["loss"] for step in report["trace"]))
    assert report["loss"]["adversarial"] > report["loss"]["clean"]
    assert report["metrics"]["columns"]["adversarial"]["max_video"] == 0, "only the sound was to change"
    # Over its own results, which takes --overwrite, with the same bits.
    again = ["--from", str(out / "report.json"), "--out", str(out), "--device", "cpu"]
    assert perturb.main(again) == perturb.REFUSED
    assert perturb.main([*again, "--overwrite"]) == 0
    assert "bit for bit" in capsys.readouterr().out


def test_faces_are_listed_and_the_one_that_speaks_most_is_chosen(world, capsys, tmp_path):
    assert perturb.main(world.run("--list-faces", out=tmp_path / "none")) == 0
    said = capsys.readouterr().out
    margins = [world.model(clip.inputs()).margin for clip in world.footage.clips]
    counts = [int((margin > 0).sum()) for margin in margins]
    assert "2 faces in talk.mp4" in said and not (tmp_path / "none").exists()
    # Of faces that speak as often, the one it is surer of.
    chosen = 1 + max(range(2), key=lambda face: (counts[face], margins[face].mean().item()))
    for number, count in enumerate(counts, start=1):
        assert f"{'*' if number == chosen else ' '} --face {number}: " in said
        assert f"speaking in {count} of {FRAMES} frames" in said


def test_a_span_with_labels_of_a_part_of_the_video(world, tmp_path, capsys):
    """Options meet: only the last 12 frames, labels from a table, a target inside."""
    times = np.arange(FRAMES + 4) / FPS
    pd.DataFrame({"time_s": times, "label": ["SPEAKING_AUDIBLE", "NOT_SPEAKING"] * (len(times) // 2)}).to_csv(
        tmp_path / "labels.csv", index=False
    )
    out = tmp_path / "span"
    options = ("--face", "1", "--attack", "fgsm", "--start", "0.08", "--span", "0.1:0.3", "--say", "speaking")
    assert perturb.main(world.run(*options, "--labels", str(tmp_path / "labels.csv"), out=out)) == 0
    assert "labels that were given" in capsys.readouterr().out
    past, table = read_report(out / "report.json"), pd.read_csv(out / "scores.csv")
    assert past.spec.labels == "10" * 6 and past.spec.start == 0.08 and past.spec.target.kind == "span"
    assert table["time_s"].iloc[0] == pytest.approx(0.08) and len(table) == 12
    inside = (table["frame"] / FPS >= 0.1) & (table["frame"] / FPS < 0.3)
    assert (table["target"] == np.where(inside, 1, table["label"])).all()


# What people, recorders and other systems call their files. The last is no UTF-8. Each is a run of its own.
NAMES = ["-x.mp4", "concat:a|b.mp4", "лицо 顔.mp4"]
NAMES += [
    pytest.param(name, marks=pytest.mark.slow)
    for name in (
        "2024-05-01T12:30:15.mp4",
        "100 %d%03d.mp4",
        'it\'s "quoted".mp4',
        "two\nlines.mp4",
        "$_^$.mp4",
        "byte\udcff.mp4",
    )
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_file_is_a_name(name, world, tmp_path, monkeypatch):
    """Relative, as people type them; results go where the default says, which begins like the file's name."""
    monkeypatch.chdir(tmp_path)
    try:
        shutil.copy(world.video, name)
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    model = ("--model", str(world.checkpoint), "--device", "cpu")
    assert perturb.main([*model, "--face", "1", "--attack", "fgsm", "--", name]) == 0
    out = tmp_path / f"{name.removesuffix('.mp4')}-fgsm"
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, out.name])
    assert read_report(out / "report.json").source.path == name


def test_results_go_to_any_name_of_a_folder(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--model", str(world.checkpoint), "--device", "cpu", "--face", "1", "--attack", "fgsm"]
    assert perturb.main([str(world.video), *options, "--out=-res"]) == 0
    assert sorted(path.name for path in (tmp_path / "-res").iterdir()) == sorted(FILES)


BAD = {
    "no such video": (["absent.mp4"], "absent.mp4: there is no such file"),
    "text for a video": (["text.mp4"], "text.mp4 is not a video that can be read"),
    "no video at all": ([], "give a video"),
    "no such model": (["VIDEO", "--model", "talknet-nobody"], "no detector is called 'talknet-nobody'"),
    "damaged model": (["VIDEO", "--model", "text.safetensors"], "damaged"),
    "no such device": (["VIDEO", "--model", "MODEL", "--device", "quantum"], "unknown device 'quantum'"),
    "no such face": (["VIDEO", "--model", "MODEL", "--face", "3"], "there is no face 3; the faces are"),
    "face zero": (["VIDEO", "--model", "MODEL", "--face", "0"], "face must be a whole number of at least 1"),
    "restarts of bim": (["VIDEO", "--attack", "bim", "--restarts", "3"], "bim has no restarts; it takes keep"),
    "no steps": (["VIDEO", "--steps", "0"], "steps and restarts must be at least 1"),
    "negative budget": (["VIDEO", "--eps-av", "-1"], "eps_av must be a number of at least 0"),
    "budget not a number": (["VIDEO", "--eps-av", "nan"], "eps_av must be a number of at least 0"),
    "negative seed": (["VIDEO", "--seed", "-1"], "seed must be a whole number of at least 0"),
    "span without times": (["VIDEO", "--target", "span"], "needs --span A:B"),
    "span of words": (["VIDEO", "--span", "now:then"], "two times in seconds"),
    "span backwards": (["VIDEO", "--span", "2:1"], "a span starts before it stops"),
    "span of another target": (["VIDEO", "--target", "hide", "--span", "1:2"], "--span belongs to --target span"),
    "span outside the clip": (["VIDEO", "--model", "MODEL", "--span", "7:8"], "holds no frame"),
    "part outside the video": (["VIDEO", "--model", "MODEL", "--start", "60"], "nothing from 60 s on"),
    "no labels": (["VIDEO", "--model", "MODEL", "--labels", "absent.csv"], "absent.csv: there is no such file"),
    "no report": (["--from", "absent.json"], "absent.json cannot be read"),
    "report of text": (["--from", "text.safetensors"], "is no JSON"),
    "report of something else": (["--from", "other.json"], "its format is None"),
    "settings beside a report": (["--from", "REPORT", "--eps-av", "7"], "leave out --eps-av"),
    "report of a clip that is gone": (["--from", "REPORT-ELSEWHERE"], "which is not here; give its place"),
    "results in a file": (["VIDEO", "--model", "MODEL", "--out", "text.mp4"], "text.mp4 is no folder"),
    "results below a file": (["VIDEO", "--model", "MODEL", "--out", "text.mp4/deep/er"], "text.mp4 is no folder"),
    "results in a name too long": (["VIDEO", "--model", "MODEL", "--out", "x" * 300], "File name too long"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_explained_and_nothing_is_written(case, world, done, tmp_path, monkeypatch, capsys):
    arguments, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    for name in ("text.mp4", "text.safetensors"):
        (tmp_path / name).write_text("not what it is called")
    (tmp_path / "other.json").write_text("{}")
    report = json.loads((done[0] / "report.json").read_text(encoding="utf-8"))
    report["source"]["path"] = "gone.mp4"
    (tmp_path / "elsewhere.json").write_text(json.dumps(report))
    places = {"VIDEO": world.video, "MODEL": world.checkpoint, "REPORT": done[0] / "report.json"}
    places["REPORT-ELSEWHERE"] = tmp_path / "elsewhere.json"
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(perturb, "attack", no_attack(case))
    assert perturb.main([str(places.get(word, word)) for word in arguments]) == perturb.REFUSED
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def no_attack(case):
    """Everything is refused before the attack, except what only the attack's own set-up can know."""
    real = perturb.attack

    def attack(*arguments):
        assert case == "span outside the clip", "the attack began"
        return real(*arguments)

    return attack


@pytest.mark.parametrize("word", ["--attack=cw", "--modality=smell", "--objective=fun", "--steps=many"])
def test_options_that_argparse_refuses_end_in_the_same_code(word, world, capsys):
    with pytest.raises(SystemExit) as ended:
        perturb.main([str(world.video), word])
    assert ended.value.code == perturb.REFUSED and word.split("=")[0] in capsys.readouterr().err


def test_a_moved_report_finds_the_clip_beside_it(world, done, tmp_path):
    report = json.loads((done[0] / "report.json").read_text(encoding="utf-8"))
    report["source"]["path"] = "somewhere/else/talk.mp4"
    (tmp_path / "report.json").write_text(json.dumps(report))
    shutil.copy(world.video, tmp_path / "talk.mp4")
    past = read_report(tmp_path / "report.json")
    assert perturb.find_clip({"clip": None, "past": tmp_path / "report.json"}, past) == tmp_path / "talk.mp4"


LABELS = {
    "numbers": ("time_s,label\n" + "".join(f"{i / 25},{i % 2}\n" for i in range(8)), "0101"),
    "in any order": ("label,time_s\n" + "".join(f"{i % 2},{i / 25}\n" for i in reversed(range(8))), "0101"),
    "words": ("time_s,label\n0.08,Speaking\n0.12,not_speaking\n0.16,SPEAKING_NOT_AUDIBLE\n0.2,true\n", "1001"),
    "rounded times": ("time_s,label\n0.09,1\n0.13,0\n0.17,0\n0.21,1\n", "1001"),
    "a frame short": ("time_s,label\n0.08,1\n0.12,1\n0.16,1\n", "1 of the 4 frames of the face, the first at 0.20 s"),
    "no such column": ("time,label\n0,1\n", "has no column time_s; it has time, label"),
    "a strange label": ("time_s,label\n0.08,1\n0.12,perhaps\n", "line 3: label cannot be 'perhaps'"),
    "a strange time": ("time_s,label\nsoon,1\n", "line 2: time_s cannot be 'soon'"),
    "no rows": ("time_s,label\n", "holds no labels"),
    "nothing": ("", "is no CSV"),
}  # fmt: skip


@pytest.mark.parametrize("case", LABELS)
def test_labels_from_a_table(case, tmp_path):
    text, expected = LABELS[case]
    (tmp_path / "labels.csv").write_text(text)
    if set(expected) <= {"0", "1"}:
        assert read_labels(tmp_path / "labels.csv", 4, offset=0.08) == expected
    else:
        with pytest.raises(ValueError) as refused:
            read_labels(tmp_path / "labels.csv", 4, offset=0.08)
        assert expected in str(refused.value)


def test_labels_from_an_alignment(tmp_path):
    (tmp_path / "clip.align").write_text("0 2000 sil\n2000 4000 bin\n4000 9000 sil\n")
    assert read_labels(tmp_path / "clip.align", 4, offset=1 / FPS) == "0110"
