"""Studies without a browser: what `python -m xab` does with arguments that are easily mistyped."""

import pytest
from xab_support import ready_study

from xab.cli import main
from xab.settings import Settings
from xab.store import Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The store that the commands open too."""
    monkeypatch.setenv("PUSHPULL_XAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("PUSHPULL_DATABASE_URL", raising=False)
    settings = Settings.from_env()
    settings.prepare()
    made = Store(settings.url)
    yield made
    made.close()


@pytest.mark.parametrize(
    "flags, left, people",
    [
        ((), True, 1),
        (("--yes",), False, 0),
        (("--volunteer", "0", "--yes"), True, 1),
        (("--volunteer", "-1", "--yes"), True, 1),
        (("--volunteer", "2", "--yes"), True, 1),
        (("--volunteer", "1"), True, 1),
        (("--volunteer", "1", "--yes"), True, 0),
    ],
)
def test_delete_takes_what_was_named_and_nothing_else(store, capsys, flags, left, people):
    study = ready_study(store)
    ((_, token),) = store.links.add_links(study, 1)
    store.sessions.consent(token, 1)
    store.links.preview_link(study)  # its number is -1
    done = main(["delete", study, *flags]) == 0
    assert [one.id for one in store.studies.all()] == ([study] if left else [])
    if left:
        assert len(store.links.people(study)) == people
        assert store.studies.get(study).deleted == 1 - people
    assert done == (not left or people == 0) and ("error" in capsys.readouterr().err) != done


def test_making_what_is_made_changes_nothing(store, capsys):
    study = ready_study(store)
    assert main(["make", study]) == 0 and "every pair is there" in capsys.readouterr().err
    assert store.studies.get(study).state == "ready"
