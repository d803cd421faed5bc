"""What a session's trials are, were, and show: parts of the transactions in sessions.py."""

from dataclasses import dataclass

import sqlalchemy as sa

from ..plan import FRAME_SECONDS
from . import schema as t
from .errors import Conflict, NotFound
from .records import load_study

ROLES = ("X", "A", "B")
# Each clip must be played to its end before an answer; a clock that runs a little fast is no reason to refuse.
SHORTEST_SHARE = 0.9
MOST_EVENTS = 5000  # in one session, so that no page can fill the disk

# What every request asks is built once and in one statement: under load each statement is another wait for the
# interpreter, and SQLite's only writer keeps all others waiting meanwhile.
ANSWERED = (
    sa.select(sa.func.count())
    .select_from(t.judgments)
    .where(t.judgments.c.session_id == t.trials.c.session_id)
    .correlate(t.trials)
    .scalar_subquery()
)
SIBLINGS = t.trials.alias("siblings")
PLANNED = (
    sa.select(sa.func.count())
    .select_from(SIBLINGS)
    .where(SIBLINGS.c.session_id == t.trials.c.session_id)
    .correlate(t.trials)
    .scalar_subquery()
)
_OF_SESSION = t.trials.c.session_id == sa.bindparam("session")
CURRENT_TRIAL = sa.select(t.trials, t.pairs.c.frames).join(t.pairs).where(_OF_SESSION, t.trials.c.position == ANSWERED)
NAMED_TRIAL = (
    sa.select(
        t.trials,
        t.pairs.c.frames,
        ANSWERED.label("answered"),
        PLANNED.label("planned"),
        t.judgments.c.choice,
        t.judgments.c.nonce,
    )
    .join(t.pairs)
    .join(
        t.judgments,
        sa.and_(t.judgments.c.session_id == t.trials.c.session_id, t.judgments.c.position == t.trials.c.position),
        isouter=True,
    )
    .where(_OF_SESSION, t.trials.c.handle == sa.bindparam("handle"))
)
MEDIA_NAMES = {"X": t.trials.c.media_x, "A": t.trials.c.media_a, "B": t.trials.c.media_b}
MEDIA_TRIAL = (
    sa.select(t.trials, t.studies.c.id.label("study_id"), t.studies.c.state, ANSWERED.label("answered"))
    .join(t.sessions, t.sessions.c.id == t.trials.c.session_id)
    .join(t.studies, t.studies.c.id == t.sessions.c.study_id)
    .where(sa.or_(*(column == sa.bindparam("name") for column in MEDIA_NAMES.values())))
)
_SHOWN = t.stimuli.alias("shown")
_OF_STUDY = t.pairs.alias("of_study")
LARGEST = (
    sa.select(sa.func.max(_SHOWN.c.bytes))
    .join(_OF_STUDY, _OF_STUDY.c.id == _SHOWN.c.pair_id)
    .where(_OF_STUDY.c.study_id == sa.bindparam("study"))
    .scalar_subquery()
)
FILES = sa.select(t.stimuli, LARGEST.label("largest")).where(t.stimuli.c.pair_id == sa.bindparam("pair"))
PLAYED = sa.select(t.events.c.role).where(
    t.events.c.session_id == sa.bindparam("session"),
    t.events.c.position == sa.bindparam("position"),
    t.events.c.kind == "ended",
)

ENDED = sa.select(t.events.c.position, t.events.c.role).where(
    t.events.c.session_id == sa.bindparam("session"), t.events.c.kind == "ended"
)


@dataclass(frozen=True, kw_only=True)
class MediaFile:
    path: str
    bytes: int
    file_sha256: str


@dataclass(frozen=True, kw_only=True)
class TrialMedia:
    """What is needed to serve one role of a trial, and all of its roles alike.

    Args:
        trial: the trial's key in the database.
        role: the one asked for.
        handles: {role: opaque name}.
        files: {role: stored file}.
        ceiling: bytes of the largest file of the study, so that no trial's size tells what kind it is.
    """

    trial: int
    role: str
    handles: dict[str, str]
    files: dict[str, MediaFile]
    ceiling: int


def newest_consent(connection, study_id: str):
    query = sa.select(t.consents).where(t.consents.c.study_id == study_id)
    return connection.execute(query.order_by(t.consents.c.version.desc()).limit(1)).mappings().one()


def played(connection, session_id: int, position: int) -> set[str]:
    rows = connection.scalars(PLAYED, {"session": session_id, "position": position})
    return set(rows) & set(ROLES)


def require_played(connection, session, trial, now: float) -> None:
    heard = played(connection, session["id"], trial["position"])
    missing = [role for role in ROLES if role not in heard]
    if missing:
        raise Conflict("not_played", f"please play {' and '.join(missing)} to the end first")
    if now - trial["opened_at"] < SHORTEST_SHARE * len(ROLES) * trial["frames"] * FRAME_SECONDS:
        raise Conflict("too_early", "three clips cannot have been played in so short a time")


def log_events(connection, session, page: str, events, now: float, *, trial=None) -> int:
    """Append what is new; returns how many. ``trial``: the one that the events are probably about."""
    if not events:
        return 0
    known = t.events.c.session_id == session["id"]
    stored = connection.scalar(sa.select(sa.func.count()).select_from(t.events).where(known))
    seen = set(connection.scalars(sa.select(t.events.c.seq).where(known, t.events.c.page == page)))
    positions = {None: None} | ({trial["handle"]: trial["position"]} if trial else {})
    if any(event.get("handle") not in positions for event in events):
        query = sa.select(t.trials.c.handle, t.trials.c.position).where(t.trials.c.session_id == session["id"])
        positions = {row.handle: row.position for row in connection.execute(query)}
    rows, heard = [], None
    for event in events:
        if event["seq"] in seen:
            continue
        if stored + len(rows) >= MOST_EVENTS:
            # An answer needs each clip's first end: without it a full log would end the test.
            place = positions.get(event.get("handle")), event.get("role")
            if event["kind"] != "ended" or None in place:
                continue
            if heard is None:
                heard = {(row.position, row.role) for row in connection.execute(ENDED, {"session": session["id"]})}
            if place in heard:
                continue
            heard.add(place)
        seen.add(event["seq"])
        rows.append(
            {
                "session_id": session["id"],
                "page": page,
                "seq": event["seq"],
                "position": positions.get(event.get("handle")),
                "kind": event["kind"],
                "role": event.get("role"),
                "clip_time": event.get("clip_time"),
                "page_ms": event["page_ms"],
                "at": now,
            }
        )
    if rows:
        connection.execute(sa.insert(t.events), rows)
    return len(rows)


def shown(connection, session) -> tuple[dict, int | None]:
    """The page's state, and the trial whose clock is to be started."""
    study = load_study(connection, session["study_id"])
    base = {"title": study.title, "preview": session["kind"] == "preview"}
    step = session["step"]
    if study.state == "archived" and step != "done":
        return {**base, "step": "closed"}, None
    if step == "consent":
        newest = newest_consent(connection, study.id)
        return {**base, "step": step, "text": newest["text"], "version": newest["version"]}, None
    design = study.design
    base["trials"] = design.pairs + design.catch
    base["training"] = design.training
    base["minutes"] = design.minutes
    if step == "done":
        return {**base, "step": step, **own_result(connection, session, design)}, None
    if step != "trials":
        refused = session["hears"] is False and not design.admit_without_sound
        return {**base, "step": step, "require_check": design.require_check, "needs_sound": refused}, None
    trial = connection.execute(CURRENT_TRIAL, {"session": session["id"]}).mappings().one()
    position = trial["position"]
    training = trial["phase"] == "training"
    return {
        **base,
        "step": step,
        # A catch trial is called what a main trial is: nobody but the server tells them apart.
        "phase": "training" if training else "test",
        "number": position + 1 if training else position + 1 - design.training,
        "handle": trial["handle"],
        "seconds": trial["frames"] * FRAME_SECONDS,
        "media": {"X": trial["media_x"], "A": trial["media_a"], "B": trial["media_b"]},
        "played": sorted(played(connection, session["id"], position)),
    }, (trial["id"] if trial["opened_at"] is None else None)


def own_result(connection, session, design) -> dict:
    if not design.show_result:
        return {}
    query = (
        sa.select(t.judgments.c.choice, t.trials.c.match)
        .join(
            t.trials,
            sa.and_(t.trials.c.session_id == t.judgments.c.session_id, t.trials.c.position == t.judgments.c.position),
        )
        .where(t.judgments.c.session_id == session["id"], t.trials.c.phase == "main")
    )
    rows = connection.execute(query).all()
    return {"result": {"correct": sum(row.choice == row.match for row in rows), "trials": len(rows)}}


def media_of(connection: sa.Connection, handle: str) -> TrialMedia:
    """The files behind an opaque media name, while its trial is the current one."""
    trial = connection.execute(MEDIA_TRIAL, {"name": handle}).mappings().first()
    if trial is None or trial["opened_at"] is None:
        raise _no_media()
    if trial["state"] == "archived" or trial["position"] != trial["answered"]:
        raise _no_media()
    rows = connection.execute(FILES, {"pair": trial["pair_id"], "study": trial["study_id"]}).mappings().all()
    stored = {(row["twin"], row["encoding"]): row for row in rows}
    other = "adversarial" if trial["x"] == "genuine" else "genuine"
    twins = {"X": trial["x"], "A": trial["x"], "B": other}
    if trial["match"] == "B":
        twins["A"], twins["B"] = other, trial["x"]
    files = {}
    for role, twin in twins.items():
        row = stored[twin, "reference" if role == "X" else "choice"]
        files[role] = MediaFile(path=row["path"], bytes=row["bytes"], file_sha256=row["file_sha256"])
    handles = {role: trial[column.name] for role, column in MEDIA_NAMES.items()}
    return TrialMedia(
        trial=trial["id"],
        role=next(role for role, name in handles.items() if name == handle),
        handles=handles,
        files=files,
        ceiling=rows[0]["largest"],
    )


def _no_media() -> NotFound:
    return NotFound("no_media", "there is no such clip, or its trial is over")
