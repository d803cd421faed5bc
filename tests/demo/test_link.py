"""Addresses that lead to a sample with settings."""

from urllib.parse import parse_qsl

import pytest

from pushpull.demo.form import Form
from pushpull.demo.link import read_link, write_link

SAMPLES, DETECTORS, NOISES = ["1-speaking", "a b&c"], ["talknet-lite", "talknet-lite-e2"], ["flip-5", "flip-10"]
CHANGED = Form(
    "talknet-lite-e2", "mim", "audio", 2.5, "span", 0.5, 1.25, True, 20, 3, "margin", 7, True, "", "h264-28", "none"
)  # fmt: skip


@pytest.mark.parametrize(
    "form",
    [
        Form("talknet-lite"),
        CHANGED,
        Form("talknet-lite", eps_av=0.0, seed=2**31 - 1),
        Form("talknet-lite", attack="universal", eps_av=10.0, noise="flip-10"),
    ],
)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_link_says_again_what_the_form_said(form, sample):
    said = dict(parse_qsl(write_link(sample, form).removeprefix("?"), keep_blank_values=True))
    assert read_link(said, DETECTORS, SAMPLES, NOISES) == (form, sample, None, [])


def test_a_link_leads_to_the_face_of_a_clip_that_shows_several():
    asked = write_link("1-speaking", Form("talknet-lite"), 2)
    assert asked.endswith("&eps_av=5&face=2")
    assert read_link(dict(parse_qsl(asked[1:])), DETECTORS, SAMPLES)[2] == 2


def test_a_link_holds_what_was_changed_and_no_more():
    assert (
        write_link("1-speaking", Form("talknet-lite")) == "?sample=1-speaking&detector=talknet-lite&attack=pgd&eps_av=5"
    )
    for changes in ({}, {"noise": "flip-5"}, {"survive_by": "none"}):  # the last two say nothing alone
        assert write_link("1-speaking", Form("talknet-lite", steps=3, **changes)).endswith("&eps_av=5&steps=3")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"sample": "gone"}, "There is no sample clip “gone”. There are 1-speaking, a b&c."),
        ({"detector": "../secret"}, "There is no detector “../secret”. There are talknet-lite, talknet-lite-e2."),
        ({"attack": "magic"}, "There is no attack “magic”. There are "),
        ({"modality": ""}, "There is no modality “”."),
        ({"eps_av": "lots"}, "eps_av is a number from 0 to 40, not “lots”."),
        ({"eps_av": "41"}, "eps_av is a number from 0 to 40, not “41”."),
        ({"eps_av": "nan"}, "eps_av is a number from 0 to 40, not “nan”."),
        ({"steps": "2.5"}, "steps is a whole number from 1 to 100, not “2.5”."),
        ({"seed": "-1"}, "seed is a whole number from 0"),
        ({"grid": "perhaps"}, "grid is 1 or 0, not “perhaps”."),
        ({"attack": "x" * 999}, "x" * 40 + "”"),
        ({"noise": "../gone"}, "There is no noise “../gone”. There are flip-5, flip-10."),
        ({"face": "0"}, "face is a whole number from 1 to 6, not “0”."),
        ({"model": "talknet-lite"}, "There is no setting “model”. There are sample, detector, face, "),
        ({"survive": "h265"}, "There is no survive “h265”. There are nothing, h264-18"),
    ],
)
def test_what_is_wrong_with_a_link_is_said_and_the_rest_is_kept(said, message):
    form, sample, face, problems = read_link(
        said | {"target": "hide", "utm_source": "mail", "__theme": "dark"}, DETECTORS, SAMPLES, NOISES
    )
    assert len(problems) == 1 and message in problems[0]
    assert (form, sample, face) == (Form("talknet-lite", target="hide"), None, None)


def test_a_link_to_an_app_without_anything_says_so():
    assert read_link({"detector": "a", "sample": "b"}, [], [])[3] == [
        "There is no sample clip “b”. There is none here.",
        "There is no detector “a”. There is none here.",
    ]
