"""Links and the people behind them: made, listed, deleted, forgotten."""

import sqlalchemy as sa

from . import schema as t
from .errors import Conflict, NotFound
from .records import add_session, load_study, new_token, set_study
from .transactions import Database


class Links:
    def __init__(self, database: Database):
        self._db = database

    def add_links(self, study_id: str, count: int) -> list[tuple[int, str]]:
        """``count`` new personal links as (number, token)."""
        if not 1 <= count <= 1000:
            raise Conflict("bad_count", "make 1 to 1000 links at a time")
        with self._db.write() as connection:
            study = load_study(connection, study_id, lock=True)
            if study.state not in ("ready", "frozen"):
                raise Conflict("not_ready", f"links need stimuli that are ready; this study is {study.state}")
            return [add_session(connection, study_id, "link", self._db.clock()) for _ in range(count)]

    def preview_link(self, study_id: str) -> str:
        """A session whose answers never count and which does not freeze the study."""
        with self._db.write() as connection:
            study = load_study(connection, study_id, lock=True)
            if study.state not in ("ready", "frozen"):
                raise Conflict("not_ready", f"a preview needs stimuli that are ready; this study is {study.state}")
            return add_session(connection, study_id, "preview", self._db.clock())[1]

    def set_open_link(self, study_id: str, on: bool) -> str | None:
        """An address that gives everyone who opens it a link of their own; turning it off leaves those valid."""
        with self._db.write() as connection:
            study = load_study(connection, study_id, lock=True)
            if on and study.state not in ("ready", "frozen"):
                raise Conflict("not_ready", f"links need stimuli that are ready; this study is {study.state}")
            token = (study.open_token or new_token()) if on else None
            set_study(connection, study_id, open_token=token)
        return token

    def people(self, study_id: str) -> list[dict]:
        """One row for each link: number, token, kind, step, progress, times, checks."""
        answered = (
            sa.select(sa.func.count())
            .select_from(t.judgments)
            .where(t.judgments.c.session_id == t.sessions.c.id)
            .scalar_subquery()
        )
        planned = (
            sa.select(sa.func.count())
            .select_from(t.trials)
            .where(t.trials.c.session_id == t.sessions.c.id)
            .scalar_subquery()
        )
        passed = (
            sa.select(sa.func.max(sa.cast(t.checks.c.passed, sa.Integer)))
            .where(t.checks.c.session_id == t.sessions.c.id)
            .scalar_subquery()
        )
        query = (
            sa.select(
                t.sessions,
                answered.label("answered"),
                planned.label("planned"),
                passed.label("check_passed"),
                t.consents.c.version.label("consent_version"),
            )
            .join(t.consents, t.consents.c.id == t.sessions.c.consent_id, isouter=True)
            .where(t.sessions.c.study_id == study_id, t.sessions.c.kind != "preview")
            .order_by(t.sessions.c.number)
        )
        with self._db.read() as connection:
            load_study(connection, study_id)
            return [dict(row) for row in connection.execute(query).mappings()]

    def delete_person(self, study_id: str, number: int) -> None:
        """Delete a volunteer with every row about them; who had agreed to take part is counted as deleted."""
        with self._db.write() as connection:
            study = load_study(connection, study_id, lock=True)
            this = sa.and_(
                t.sessions.c.study_id == study_id, t.sessions.c.number == number, t.sessions.c.kind != "preview"
            )
            person = connection.execute(sa.select(t.sessions.c.consent_id).where(this)).first()
            if person is None:
                raise NotFound("unknown_volunteer", f"the study has no volunteer {number}")
            connection.execute(sa.delete(t.sessions).where(this))
            if person.consent_id is not None:
                set_study(connection, study_id, deleted=study.deleted + 1)

    def forget(self) -> int:
        """Apply every study's retention: erase what could lead back to a person; returns the number of sessions.

        Answers, their times and plans stay, under a number and without token, browser, clicks and window. Links that
        nobody used are deleted.
        """
        now, erased = self._db.clock(), 0
        with self._db.read() as connection:
            ids = connection.scalars(sa.select(t.studies.c.id)).all()
            studies = [load_study(connection, study_id) for study_id in ids]
        for study in studies:
            limit = now - study.design.retention_days * 86_400
            with self._db.write() as connection:
                old = sa.select(t.sessions.c.id).where(
                    t.sessions.c.study_id == study.id,
                    sa.func.coalesce(t.sessions.c.seen_at, t.sessions.c.created_at) < limit,
                    t.sessions.c.token.is_not(None),
                )
                ids = connection.scalars(old).all()
                if not ids:
                    continue
                for table in (t.events, t.checks):
                    connection.execute(sa.delete(table).where(table.c.session_id.in_(ids)))
                connection.execute(
                    sa.delete(t.sessions).where(t.sessions.c.id.in_(ids), t.sessions.c.consent_id.is_(None))
                )
                connection.execute(
                    sa.update(t.judgments).where(t.judgments.c.session_id.in_(ids)).values(viewport="{}", nonce="")
                )
                connection.execute(
                    sa.update(t.sessions).where(t.sessions.c.id.in_(ids)).values(token=None, user_agent=None)
                )
                erased += len(ids)
        return erased
