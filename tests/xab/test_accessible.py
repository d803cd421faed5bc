"""What axe-core says of the volunteers' pages and the experimenter's, light and dark."""

import pytest
from axe import serious
from xab_web import Person, Visitor, app, browser  # noqa: F401

SCHEMES = ["light", pytest.param("dark", marks=pytest.mark.slow)]


def test_a_fault_would_be_found(browser):  # noqa: F811
    page = browser.new_page()
    page.set_content("<html lang=en><title>Faults</title><main><button></button><img src=data:,></main>")
    assert {rule for rule, _ in serious(page)} == {"button-name", "image-alt"}
    page.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_serious_from_link_to_thank_you(app, browser, scheme):  # noqa: F811
    study = app.study(show_result=True)
    (token,) = app.links(study)
    with Visitor(browser, app, token, color_scheme=scheme) as visitor:
        page = visitor.page
        visitor.see("Before you start")
        assert serious(page) == []
        visitor.agree().see("What you do")
        assert serious(page) == []
        visitor.read().see("Your browser is fine")
        assert serious(page) == []
        visitor.pass_check().see("Set your volume")
        page.get_by_text("I hear nothing").click()
        assert serious(page) == []
        visitor.hear().await_trial(1, 1, "Practice")
        assert serious(page) == []
        page.keyboard.press("?")
        page.get_by_role("dialog", name="Help").wait_for()
        assert serious(page) == []
        page.keyboard.press("Escape")
        visitor.practise().await_trial(1)
        for number in (1, 2):
            visitor.await_trial(number).play()
            assert serious(page) == []
            visitor.answer("A")
        visitor.see("Thank you")
        assert serious(page) == []
        page.goto(app.link("no-such-link"))
        visitor.see("This link is not valid")
        assert serious(page) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_serious_in_the_lab(app, browser, scheme):  # noqa: F811
    study = app.study()
    for token in app.links(study, 2):
        Person(app.store, token).finish()
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(f"{app.base}/lab")
    assert serious(page) == []
    page.get_by_label("Password").fill("test")
    page.get_by_role("button", name="Log in").click()
    for path in ("", "/new", "/planner", f"/{study}", f"/{study}/results"):
        answer = page.goto(f"{app.base}/lab{path}")
        assert answer.status == 200 and page.locator("h1").count() == 1, path
        assert serious(page) == [], path
    context.close()
