"""Odd clips of visitors in Chromium: what the page makes of their size."""

import numpy as np
import pytest
from browser_support import FRAMES, Served, Visitor, write_face

from pushpull.demo.intake import MAX_BYTES
from pushpull.media import read_frames, write_preview

CHOOSE = "#pp-video input[type=file]"
# Whether a click in the middle of an element reaches it.
REACHED = """(element) => {
  const { left, top, width, height } = element.getBoundingClientRect();
  return element.contains(document.elementFromPoint(left + width / 2, top + height / 2));
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory, unhurried):
    served = Served(tmp_path_factory.mktemp("app"))
    yield served
    served.stop()


@pytest.fixture
def page(browser, served):
    visitor = Visitor(browser, served.base)
    yield visitor.page
    visitor.page.close()
    assert visitor.errors == []


def test_a_file_that_is_too_large_leaves_the_place_for_clips_as_it_was(page, tmp_path):
    huge = tmp_path / "huge.mp4"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    page.set_input_files(CHOOSE, huge)
    page.wait_for_selector(".toast-body:has-text('huge.mp4')")
    page.locator("#pp-video").scroll_into_view_if_needed()
    assert page.eval_on_selector("#pp-video .upload-container", REACHED)
    assert page.locator("#pp-video .error").is_hidden()


def test_a_portrait_leaves_room_for_its_score(page, tmp_path):
    wide = np.stack(list(read_frames(write_face(tmp_path / "wide.mp4"))))
    portrait = np.pad(wide[:, :, 30:190], ((0, 0), (80, 80), (0, 0), (0, 0)))
    path = write_preview(tmp_path / "portrait.mp4", portrait, np.zeros(FRAMES * 640, np.float32))
    page.set_input_files(CHOOSE, path)
    page.wait_for_selector("#pp-faces [data-card]")
    page.wait_for_selector("pp-player .pp-timeline svg")
    box = page.locator("pp-player video").bounding_box()
    assert box["height"] == pytest.approx(2 * box["width"], rel=0.02) and box["height"] < 0.65 * 900
