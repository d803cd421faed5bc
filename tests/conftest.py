import pushpull  # noqa: F401  isort: skip  (before torch: it says how long idle threads spin)

import os

import pytest
import torch
from ava_support import made, source, tree  # noqa: F401
from media_support import films, mp4  # noqa: F401
from rows_support import footage, splits  # noqa: F401
from xab_support import clock, database_url, postgres, store  # noqa: F401


def pytest_configure(config):
    """Test processes side by side share the cores."""
    torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Faces that a test found are not looked up in, or left in, the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHPULL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
