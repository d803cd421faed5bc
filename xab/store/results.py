"""What the volunteers left: judgments, events and checks, for the statistics and for export."""

import json

import sqlalchemy as sa

from ..stats import Answer
from . import schema as t
from .records import load_study
from .transactions import Database


class Results:
    def __init__(self, database: Database):
        self._db = database

    def judgments(self, study_id: str) -> list[dict]:
        """Every judgment but previews', with its trial and pair, in order of volunteer and position."""
        query = (
            sa.select(
                t.sessions.c.number.label("volunteer"),
                t.sessions.c.slot,
                t.trials.c.position,
                t.trials.c.phase,
                t.pairs.c.position.label("pair"),
                t.pairs.c.clip,
                t.pairs.c.speech,
                t.pairs.c.model,
                t.pairs.c.attack,
                t.pairs.c.modality,
                t.pairs.c.eps_av,
                t.trials.c.x,
                t.trials.c.match,
                t.judgments.c.choice,
                t.judgments.c.response_ms,
                t.trials.c.opened_at,
                t.judgments.c.at.label("answered_at"),
                t.judgments.c.viewport,
                t.sessions.c.finished_at,
                t.sessions.c.hears,
            )
            .select_from(t.judgments)
            .join(t.sessions, t.sessions.c.id == t.judgments.c.session_id)
            .join(
                t.trials,
                sa.and_(
                    t.trials.c.session_id == t.judgments.c.session_id, t.trials.c.position == t.judgments.c.position
                ),
            )
            .join(t.pairs, t.pairs.c.id == t.trials.c.pair_id)
            .where(t.sessions.c.study_id == study_id, t.sessions.c.kind != "preview")
            .order_by(t.sessions.c.number, t.trials.c.position)
        )
        with self._db.read() as connection:
            load_study(connection, study_id)
            return [dict(row) for row in connection.execute(query).mappings()]

    def answers(self, study_id: str) -> list[Answer]:
        """The judgments as the statistics take them."""
        names = ("volunteer", "pair", "phase", "match", "choice", "attack", "modality", "model", "speech", "x")
        with self._db.read() as connection:
            training = load_study(connection, study_id).design.training
        return [
            Answer(
                **{name: row[name] for name in names},
                finished=row["finished_at"] is not None,
                hears=row["hears"] is not False,
                position=row["position"] + 1 - training,
            )
            for row in self.judgments(study_id)
        ]

    def fingerprint(self, study_id: str) -> str:
        """Changes whenever any result does: for a page that looks whether to draw itself anew."""
        counts = (
            sa.select(sa.func.count(t.judgments.c.id), sa.func.max(t.judgments.c.id))
            .join(t.sessions, t.sessions.c.id == t.judgments.c.session_id)
            .where(t.sessions.c.study_id == study_id, t.sessions.c.kind != "preview")
        )
        people = sa.select(sa.func.count(), sa.func.count(t.sessions.c.consent_id), sa.func.max(t.sessions.c.seen_at))
        with self._db.read() as connection:
            study = load_study(connection, study_id)
            rows = [
                *connection.execute(counts).one(),
                *connection.execute(
                    people.where(t.sessions.c.study_id == study_id, t.sessions.c.kind != "preview")
                ).one(),
            ]
        return "-".join(str(value) for value in (study.state, study.withdrawn, study.deleted, study.made, *rows))

    def consents(self, study_id: str) -> list[dict]:
        """Every version of the consent text, oldest first."""
        query = (
            sa.select(t.consents.c.version, t.consents.c.text, t.consents.c.created_at)
            .where(t.consents.c.study_id == study_id)
            .order_by(t.consents.c.version)
        )
        with self._db.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def events(self, study_id: str) -> list[dict]:
        query = (
            sa.select(t.sessions.c.number.label("volunteer"), t.events)
            .join(t.sessions, t.sessions.c.id == t.events.c.session_id)
            .where(t.sessions.c.study_id == study_id, t.sessions.c.kind != "preview")
            .order_by(t.sessions.c.number, t.events.c.id)
        )
        with self._db.read() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [{key: row[key] for key in row if key not in ("id", "session_id")} for row in rows]

    def checks(self, study_id: str) -> list[dict]:
        query = (
            sa.select(t.sessions.c.number.label("volunteer"), t.checks.c.at, t.checks.c.passed, t.checks.c.report)
            .join(t.sessions, t.sessions.c.id == t.checks.c.session_id)
            .where(t.sessions.c.study_id == study_id, t.sessions.c.kind != "preview")
            .order_by(t.checks.c.id)
        )
        with self._db.read() as connection:
            return [{**row, "report": json.loads(row["report"])} for row in connection.execute(query).mappings()]
