"""What a result was made with, in a line and in the names of its files."""

import pytest

from pushpull.attacks import BIM, FGSM, PGD
from pushpull.demo.made import file_prefix, made_with
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
