"""The test to try in Chromium: six trials from the welcome to the result, by mouse, by keys, through a reload."""

import pytest
from tryout_support import Ended, fill_tryout, tryout_clips  # noqa: F401
from xab_web import Served, Visitor, browser, chromium_path  # noqa: F401

from xab.settings import Settings


@pytest.fixture(scope="module")
def app(tmp_path_factory, tryout_clips):  # noqa: F811
    chromium_path()
    settings = Settings(data=tmp_path_factory.mktemp("xab"), password="test")
    fill_tryout(settings, tryout_clips)
    served = Served(settings)
    yield served
    served.stop()


class Guest(Visitor):
    """Somebody without a link."""

    def __init__(self, browser, app, **context):  # noqa: F811
        super().__init__(browser, app, None, **context)

    def begin(self, *, counted: bool = False) -> "Guest":
        self.see("Can you tell?")
        self.page.get_by_label("Add my result to the count").set_checked(counted)
        self.click("Begin")
        return self.hear()

    def trials(self, numbers=range(1, 7)) -> "Guest":
        for number in numbers:
            self.await_trial(number, of=6).play().answer("AB"[number % 2])
        return self


def test_six_trials_and_a_result_against_guessing(app, browser):  # noqa: F811
    with Guest(browser, app) as guest:
        guest.begin(counted=True).practise()
        guest.trials(range(1, 4))
        guest.page.reload()
        guest.trials(range(4, 7))
        guest.see("You found X in")
        marks = guest.page.locator(".marks li")
        assert marks.count() == 6
        right = guest.page.locator(".marks [data-right]").count()
        assert guest.page.get_by_role("heading", level=1).inner_text() == f"You found X in {right} of 6 trials"
        assert guest.page.locator(".guessers [data-you] .right").inner_text().split()[0] == str(right)
        assert guest.page.get_by_text("65,536 steps").is_visible()
        assert guest.page.get_by_text("1 result was counted so far").is_visible()
        assert app.store.tally.counts() == [{"trials": 6, "correct": right, "people": 1}]
        assert guest.page.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0
        guest.click("Try again")
        guest.see("Can you tell?")
        assert "#" not in guest.page.url
    assert app.store.studies.all() == []


def test_experimenters_come_to_the_login(app, browser):  # noqa: F811
    with Guest(browser, app) as guest:
        guest.page.get_by_role("link", name="Sign in", exact=True).click()
        guest.page.get_by_label("Password").fill("test")
        guest.click("Log in")
        guest.see("Can a person tell the attacked clip")


def test_a_try_that_the_server_forgot_begins_anew(app, browser):  # noqa: F811
    with Guest(browser, app) as guest:
        guest.page.goto(f"{app.base}#{'x' * 24}")
        guest.page.reload()
        guest.see("Can you tell?")
        assert guest.page.locator("#note", has_text="That try is over.").is_visible()


def test_a_phone_by_touch(app, browser):  # noqa: F811
    phone = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
    with Guest(browser, app, **phone) as guest:
        for heading in ("Can you tell?", None):
            if heading:
                guest.see(heading)
            else:
                guest.begin().practise().await_trial(1, of=6)
            width = guest.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert width[0] <= width[1]


def test_the_first_visitor_sees_how_far_the_clips_are(tmp_path, browser, tryout_clips):  # noqa: F811
    settings = Settings(data=tmp_path, password="test")
    served = Served(settings, maker=lambda: Ended(None))
    with Guest(browser, served) as guest:
        guest.begin()
        guest.see("The clips are being made")
        fill_tryout(settings, tryout_clips)
        guest.await_trial(1, 1, "Practice")
    served.stop()


def test_clips_that_cannot_be_made_are_said_to_be_missing(tmp_path, browser):  # noqa: F811
    served = Served(Settings(data=tmp_path, password="test"), maker=lambda: Ended(1))
    with Guest(browser, served) as guest:
        guest.begin()
        guest.see("The clips could not be made")
        guest.click("Begin again")
        guest.see("Can you tell?")
    served.stop()
