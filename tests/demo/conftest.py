import pytest


@pytest.fixture(autouse=True, scope="session")
def own_detectors(tmp_path_factory):
    """Detectors that the user has fetched, or whose folder an environment variable names, are not part of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user")))
        patch.delenv("PUSHPULL_DETECTORS", raising=False)
        yield
