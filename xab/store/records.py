"""The rows as values, and what several parts of the store do with them."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from functools import lru_cache

import sqlalchemy as sa

from ..plan import Design
from . import schema as t
from .errors import NotFound

TOKEN_BYTES = 18  # 144 bits: at a thousand guesses a second none is found in the age of the universe


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True, kw_only=True)
class Study:
    id: str
    title: str
    state: str
    design: Design
    created_at: float
    frozen_at: float | None
    frozen_digest: str | None
    archived_at: float | None
    open_token: str | None
    withdrawn: int
    deleted: int
    made: int
    to_make: int
    note: str
    worker: str | None
    worker_at: float | None
    numbered: int


@dataclass(frozen=True, kw_only=True)
class Stimulus:
    """A file: one encoding of one twin. ``video_sha256`` and ``audio_sha256`` are those of the decoded arrays."""

    twin: str
    encoding: str
    path: str
    bytes: int
    file_sha256: str
    video_sha256: str
    audio_sha256: str


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A genuine clip and its adversarial twin, with what was measured on exactly what is stored."""

    position: int
    phase: str
    model: str
    attack: str
    modality: str
    eps_av: float
    speech: bool
    clip: str
    frames: int
    measures: dict = field(default_factory=dict)
    stimuli: tuple[Stimulus, ...] = ()
    id: int | None = None


@lru_cache(maxsize=64)
def _design(text: str) -> Design:
    """Cached, because every request of every volunteer asks for it."""
    return Design.from_dict(json.loads(text))


def load_study(connection: sa.Connection, study_id: str, *, lock: bool = False) -> Study:
    query = sa.select(t.studies).where(t.studies.c.id == study_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    if row is None:
        raise NotFound("unknown_study", "there is no such study")
    return Study(**{**row, "design": _design(row["design"])})


def load_pairs(connection: sa.Connection, study_id: str) -> list[Pair]:
    files: dict[int, list[Stimulus]] = {}
    query = sa.select(t.stimuli).join(t.pairs).where(t.pairs.c.study_id == study_id).order_by(t.stimuli.c.id)
    for row in connection.execute(query).mappings():
        values = {key: row[key] for key in row if key not in ("id", "pair_id")}
        files.setdefault(row["pair_id"], []).append(Stimulus(**values))
    query = sa.select(t.pairs).where(t.pairs.c.study_id == study_id).order_by(t.pairs.c.position)
    return [
        Pair(
            **{key: row[key] for key in row if key not in ("study_id", "measures")},
            measures=json.loads(row["measures"]),
            stimuli=tuple(files.get(row["id"], ())),
        )
        for row in connection.execute(query).mappings()
    ]


def freeze(connection: sa.Connection, study: Study, now: float) -> None:
    """Fix design, stimuli and consent by their digest, and clear away previews."""
    files = [
        [pair.position, file.twin, file.encoding, file.file_sha256, file.video_sha256, file.audio_sha256]
        for pair in load_pairs(connection, study.id)
        for file in pair.stimuli
    ]
    text = json.dumps([study.design.to_json(), study.design.consent_text, files])
    connection.execute(sa.delete(t.sessions).where(t.sessions.c.study_id == study.id, t.sessions.c.kind == "preview"))
    connection.execute(
        sa.update(t.studies)
        .where(t.studies.c.id == study.id)
        .values(state="frozen", frozen_at=now, frozen_digest=hashlib.sha256(text.encode()).hexdigest())
    )


def set_study(connection: sa.Connection, study_id: str, **values) -> None:
    connection.execute(sa.update(t.studies).where(t.studies.c.id == study_id).values(**values))


def numbered(connection: sa.Connection, study_id: str) -> int:
    """The next volunteer's number; those of people who withdrew are not given again."""
    number = connection.scalar(sa.select(t.studies.c.numbered).where(t.studies.c.id == study_id)) + 1
    set_study(connection, study_id, numbered=number)
    return number


def add_session(connection: sa.Connection, study_id: str, kind: str, now: float) -> tuple[int, str]:
    """A new session as (number, token); the caller holds the study's lock. Previews count below zero."""
    if kind == "preview":
        lowest = sa.select(sa.func.min(t.sessions.c.number)).where(t.sessions.c.study_id == study_id)
        number = min(0, connection.scalar(lowest) or 0) - 1
    else:
        number = numbered(connection, study_id)
    token = new_token()
    connection.execute(
        sa.insert(t.sessions).values(
            study_id=study_id, number=number, token=token, kind=kind, step="consent", created_at=now
        )
    )
    return number, token
