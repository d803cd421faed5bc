"""What a result was made with, in a line and in the names of its files."""

import shlex

import pytest

from pushpull import perturb
from pushpull.attacks import BIM, FGSM, PGD, Square
from pushpull.demo.made import file_prefix, made_with, options_of, shell
from pushpull.demo.serving import download_name
from pushpull.runs.spec import RunSpec, Target


@pytest.mark.parametrize(
    ("spec", "codec", "words"),
    [
        (
            RunSpec(attack=PGD(steps=10, restarts=2)),
            None,
            "a, b · PGD, 10 steps, 2 starts · eps_av 5 · Face 2 of &lt;me&gt;",
        ),
        (RunSpec(attack=FGSM(), eps_av=2.5, modality="audio"), None, "FGSM · eps_av 2.5 · sound only · Face 2"),
        (RunSpec(attack=BIM(), target=Target(kind="hide")), "h264-23", "Hide this speaker · through H.264 CRF 23"),
    ],
)
def test_a_result_tells_what_made_it(spec, codec, words):
    assert words in made_with(["a", "b"], spec, 1, "<me>", codec)


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("1-speaking.mp4", "1-speaking-pgd-eps5"),
        ("my “clip” (2).mov", "my-clip-2-pgd-eps5"),
        ("会.mp4", "clip-pgd-eps5"),
    ],
)
def test_files_are_named_after_clip_attack_and_budget(path, prefix):
    assert file_prefix(path, RunSpec()) == prefix
    assert download_name("report.json", prefix) == f"{prefix}-report.json"


@pytest.mark.parametrize(("asked", "name"), [("", None), ("1", "a.csv"), ("../x", "a.csv"), ('a"b', "a.csv")])
def test_an_address_gives_files_no_name_that_is_not_ours(asked, name):
    assert download_name("a.csv", asked) == name


@pytest.mark.parametrize(
    "spec",
    [
        RunSpec(),
        RunSpec(attack=PGD(steps=3, restarts=2, grid=True), objective="margin", face=2, modality="audio", seed=7),
        RunSpec(
            attack=BIM(step_size=0.25, keep="last"), target=Target(kind="hide"), start=12.5, seconds=20.0, eps_av=0.5
        ),
        RunSpec(attack=Square(steps=50), target=Target(kind="span", start=0.5, stop=2.0, speaking=True, hold=False)),
    ],
)
@pytest.mark.parametrize("clip", ["clip.mp4", "my clip (2), 'b' & <c>.mp4", "-clip.mp4"])
def test_the_command_of_a_result_asks_for_the_same_again(clip, spec):
    said = shlex.split(shell(clip, "--model", "a,b", *options_of(spec)))
    assert said[:3] == ["python", "-m", "pushpull.perturb"]
    given = vars(perturb.make_parser().parse_args(said[3:]))
    assert str(given["clip"]) == clip and perturb.models_of(given) == ["a", "b"]
    assert perturb.make_spec(given | {"model": spec.model}) == spec
