"""What the XAB tests share: both databases, studies with stimuli, a volunteer."""

import glob
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from xab.plan import FRAME_SECONDS, Design, pair_specs
from xab.store import Pair, Stimulus, Store

SMALL = {
    "title": "A small study",
    "attacks": ("bim",),
    "speech": 2,
    "non_speech": 2,
    "training": 1,
    "catch": 1,
    "seconds": 0.2,
    "volunteers": 2,
}


def find_postgres() -> Path | None:
    """The folder of initdb and pg_ctl; newest version first."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    found = shutil.which("initdb")
    if found and shutil.which("pg_ctl"):
        folders.append(str(Path(found).parent))
    return Path(folders[0]) if folders else None


@contextmanager
def postgres_server():
    """A private server on a socket in a fresh folder; yields the URL of its first database."""
    if url := os.environ.get("PUSHPULL_TEST_DATABASE_URL"):
        yield url
        return
    programs = find_postgres()
    if programs is None:
        pytest.skip("no PostgreSQL here: install postgresql, or set PUSHPULL_TEST_DATABASE_URL")
    # A socket's path may have 107 bytes, which pytest's folders exceed.
    root = Path(tempfile.mkdtemp(prefix="xabpg"))
    user = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        try:
            shutil.chown(root, "postgres", "postgres")
        except LookupError:
            pytest.skip("tests run as root and there is no user postgres; set PUSHPULL_TEST_DATABASE_URL")
    quiet = {"cwd": "/", "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, **user}
    data = root / "data"
    start = f"-k {root} -c listen_addresses= -c max_connections=60"
    try:
        subprocess.run([programs / "initdb", "-D", data, "-U", "xab", "-A", "trust", "-E", "UTF8", "-N"], **quiet)
        subprocess.run([programs / "pg_ctl", "-D", data, "-w", "-l", root / "log", "-o", start, "start"], **quiet)
        try:
            yield f"postgresql://xab@/postgres?host={root}"
        finally:
            subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def fresh_database(server: str):
    """A database of its own on ``server``; yields its URL."""
    name = f"xab_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    before, _, query = server.partition("?")
    try:
        yield f"{before.rsplit('/', 1)[0]}/{name}?{query}"
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres():
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """The URL of an empty database; every test that takes it runs on both."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'xab.sqlite'}"
        return
    with fresh_database(request.getfixturevalue("postgres")) as url:
        yield url


class Clock:
    """Time that passes when told to."""

    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(database_url, clock):
    made = Store(database_url, clock=clock)
    yield made
    made.close()


def small_design(**changes) -> Design:
    return Design(**{**SMALL, **changes})


def fake_stimuli(position: int) -> tuple[Stimulus, ...]:
    return tuple(
        Stimulus(
            twin=twin,
            encoding=encoding,
            path=f"{position}-{twin}-{encoding}.mp4",
            bytes=1000 + len(twin),
            file_sha256=f"{position}{twin}{encoding}".encode().hex()[:64],
            video_sha256="0" * 64,
            audio_sha256="0" * 64,
        )
        for twin in ("genuine", "adversarial")
        for encoding in ("reference", "choice")
    )


def fill(store: Store, study: str, *, frames: int = 5, stimuli=fake_stimuli) -> None:
    """Give a draft its pairs, as the stimulus worker would."""
    specs = pair_specs(store.studies.get(study).design)
    store.studies.claim(study, "test", len(specs))
    for spec in specs:
        pair = Pair(**vars(spec), clip="clip.mp4", frames=frames, stimuli=stimuli(spec.position))
        store.studies.add_pair(study, "test", pair)
    store.studies.finish(study, "test")


def ready_study(store: Store, **changes) -> str:
    study = store.studies.create(small_design(**changes))
    fill(store, study)
    return study


def played(handle: str, *, first: int = 0) -> list[dict]:
    """Events of a volunteer who plays X, A and B to the end."""
    return [
        {"seq": first + index, "kind": "ended", "role": role, "clip_time": 0.2, "page_ms": index, "handle": handle}
        for index, role in enumerate("XAB")
    ]


class Volunteer:
    """A session driven through the store's methods."""

    def __init__(self, store: Store, token: str, clock: Clock | None = None):
        self.store, self.token, self.clock = store, token, clock
        self.seq = 0

    @property
    def state(self) -> dict:
        return self.store.sessions.state(self.token)

    def begin(self, *, hears: bool = True) -> "Volunteer":
        """Up to the first trial."""
        self.store.sessions.consent(self.token, self.state["version"], "Test/1.0")
        self.store.sessions.advance(self.token, "instructions")
        self.store.sessions.check(self.token, passed=True, report={"frames": 25})
        self.store.sessions.advance(self.token, "sound", hears=hears)
        return self

    def wait(self) -> None:
        seconds = 3 * 5 * FRAME_SECONDS
        if self.clock:
            self.clock.pass_(seconds)
        else:
            time.sleep(seconds)

    def answer(self, choice: str = "A", **changes) -> dict:
        """Play and answer the trial at hand."""
        handle = self.state["handle"]
        self.wait()
        events = played(handle, first=self.seq)
        self.seq += 3
        request = {"handle": handle, "choice": choice, "nonce": secrets.token_hex(8), "page": "p", "events": events}
        return self.store.sessions.answer(self.token, **{**request, **changes})

    def finish(self, choice: str = "A") -> "Volunteer":
        while self.state["step"] == "trials":
            self.answer(choice)
        return self
