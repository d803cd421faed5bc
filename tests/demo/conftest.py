import pytest
from browser_support import launch

from pushpull.demo import background


@pytest.fixture(autouse=True, scope="session")
def own_detectors(tmp_path_factory):
    """Detectors that the user has fetched, or whose folder an environment variable names, are not part of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user")))
        patch.delenv("PUSHPULL_DETECTORS", raising=False)
        yield


@pytest.fixture(scope="module")
def unhurried():
    """Long work does not step back behind whatever else the machine does: beside a busy program it would never end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(background, "NICENESS", 0)
        yield


@pytest.fixture(scope="module")
def browser():
    """A Chromium for visitors."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    with playwright.sync_playwright() as running:
        browser = launch(running)
        yield browser
        browser.close()
