"""A volunteer's session: the server alone knows the step, the trial and the answer.

Every method takes the token from the link; a token that is unknown, erased or withdrawn is NotFound. Every write
locks the session's row before it changes anything, so tabs, double clicks and retries pass one after the other.
"""

import json

import sqlalchemy as sa

from ..plan import PlannedPair, make_plan
from . import schema as t
from .errors import Conflict, NotFound, Refused
from .records import add_session, freeze, load_pairs, load_study, new_token
from .transactions import Database
from .trials import NAMED_TRIAL, TrialMedia, log_events, media_of, newest_consent, require_played, shown

MOST_CHECKS = 50  # stored of one session, so that no page can fill the disk
# Of one open link, sessions whose consent nobody has given yet: a program may open it for ever.
MOST_WAITING = 1000
WAITING_SECONDS = 7 * 86_400  # after which such a session may make room for another
STEPS = ("consent", "instructions", "check", "sound", "trials", "done")


class Crowded(Refused):
    status = 429


class Sessions:
    def __init__(self, database: Database):
        self._db = database

    def issue(self, open_token: str) -> str:
        """A link of one's own from a study's open link."""
        with self._db.write() as connection:
            query = sa.select(t.studies.c.id).where(t.studies.c.open_token == open_token)
            study_id = connection.scalar(query)
            if study_id is None:
                raise _unknown()
            study = load_study(connection, study_id, lock=True)
            if study.open_token != open_token or study.state not in ("ready", "frozen"):
                raise _unknown()
            self._make_room(connection, study_id)
            return add_session(connection, study_id, "open", self._db.clock())[1]

    def _make_room(self, connection, study_id: str) -> None:
        """Where too many opened a study's open link and never began, those of long ago go; Crowded if that is none."""
        waiting = sa.and_(
            t.sessions.c.study_id == study_id, t.sessions.c.kind == "open", t.sessions.c.consent_id.is_(None)
        )
        count = sa.select(sa.func.count()).select_from(t.sessions).where(waiting)
        if connection.scalar(count) < MOST_WAITING:
            return
        seen = sa.func.coalesce(t.sessions.c.seen_at, t.sessions.c.created_at)
        connection.execute(sa.delete(t.sessions).where(waiting, seen < self._db.clock() - WAITING_SECONDS))
        if connection.scalar(count) >= MOST_WAITING:
            raise Crowded("crowded", "too many people have opened this link: ask for one of your own, or come later")

    def state(self, token: str) -> dict:
        """What the volunteer's page shows now. Delivering a trial for the first time starts its clock."""
        with self._db.read() as connection:
            try:
                session = self._session(connection, token)
            except NotFound:
                if connection.scalar(sa.select(t.studies.c.id).where(t.studies.c.open_token == token)):
                    return {"step": "open"}
                raise
            page, unopened = shown(connection, session)
        if unopened is not None:
            # Another tab may have been quicker: its clock runs already.
            first = sa.update(t.trials).where(t.trials.c.id == unopened, t.trials.c.opened_at.is_(None))
            with self._db.write() as connection:
                connection.execute(first.values(opened_at=self._db.clock()))
        return page

    def consent(self, token: str, version: int, user_agent: str = "") -> None:
        """Store the consent and, before anything else happens, the whole plan. Freezes the study at the first one."""
        with self._db.write() as connection:
            session = self._at(connection, token, "consent")
            newest = newest_consent(connection, session["study_id"])
            if version != newest["version"]:
                raise Conflict("consent_changed", "the consent text has changed: please read it again")
            study = load_study(connection, session["study_id"], lock=True)
            if study.state not in ("ready", "frozen"):
                raise Conflict("not_ready", "the study is being prepared: please come back later with the same link")
            now = self._db.clock()
            slot = None
            if session["kind"] != "preview":
                if study.state == "ready":
                    freeze(connection, study, now)
                slot = self._free_slot(connection, study.id)
            self._set(
                connection,
                session,
                consent_id=newest["id"],
                consent_at=now,
                seen_at=now,
                slot=slot,
                step="instructions",
                user_agent=user_agent[:400],
            )
            pairs = [
                PlannedPair(pair=pair.id, phase=pair.phase, stratum=f"{pair.model}/{pair.attack}/{pair.modality}")
                for pair in load_pairs(connection, study.id)
            ]
            # With the study's id, which no volunteer sees: seeds are alike (1, unless changed), and every answer would
            # follow from this code alone.
            seed = f"{study.design.seed}/{study.id}"
            plan = make_plan(seed=seed, slot=slot or 0, pairs=pairs)
            connection.execute(
                sa.insert(t.trials),
                [
                    {
                        "session_id": session["id"],
                        "position": trial.position,
                        "pair_id": trial.pair,
                        "phase": trial.phase,
                        "x": trial.x,
                        "match": trial.match,
                        "handle": new_token(),
                        "media_x": new_token(),
                        "media_a": new_token(),
                        "media_b": new_token(),
                    }
                    for trial in plan
                ],
            )

    def advance(self, token: str, step: str, *, hears: bool = True, listens: str | None = None) -> None:
        """Leave ``step`` ("instructions" or "sound") for the next one; repeating what is done already is no error.

        ``hears=False`` says that the volunteer cannot hear the sound. It is stored; a study that does not admit this
        keeps them at "sound", where they may change their mind.
        ``listens``: "headphones", "loudspeakers" or, of who does not say, None.
        """
        if step not in ("instructions", "sound"):
            raise Refused("bad_step", "there is no such step to confirm")
        with self._db.write() as connection:
            session = self._session(connection, token, lock=True)
            study = self._open(connection, session)
            if STEPS.index(session["step"]) > STEPS.index(step):
                return
            if session["step"] != step:
                raise Conflict("other_step", "this step has not been reached yet")
            values = {"step": STEPS[STEPS.index(step) + 1], "seen_at": self._db.clock()}
            if step == "sound":
                values |= {"hears": hears, "listens": listens if hears else None}
                if not (hears or study.design.admit_without_sound):
                    values["step"] = step
            self._set(connection, session, **values)

    def check(self, token: str, *, passed: bool, report: dict) -> None:
        """Store a self-check, passed or not; the step is left when it passed or the study only records it."""
        with self._db.write() as connection:
            session = self._session(connection, token, lock=True)
            study = self._open(connection, session)
            if session["step"] == "consent":
                raise Conflict("other_step", "this step has not been reached yet")
            stored = connection.scalar(
                sa.select(sa.func.count()).select_from(t.checks).where(t.checks.c.session_id == session["id"])
            )
            now = self._db.clock()
            leaves = session["step"] == "check" and (passed or not study.design.require_check)
            if stored < MOST_CHECKS or leaves:  # the one that lets a volunteer on is always kept
                connection.execute(
                    sa.insert(t.checks).values(
                        session_id=session["id"], at=now, passed=passed, report=json.dumps(report)[:10_000]
                    )
                )
            if leaves:
                self._set(connection, session, step="sound", seen_at=now)

    def log(self, token: str, page: str, events: list[dict]) -> int:
        """Append events {seq, kind, role, clip_time, page_ms, handle}; known ones are skipped. Returns those added."""
        with self._db.write() as connection:
            session = self._session(connection, token, lock=True)
            self._open(connection, session)
            return log_events(connection, session, page, events, self._db.clock())

    def answer(
        self,
        token: str,
        *,
        handle: str,
        choice: str,
        nonce: str,
        response_ms: int | None = None,
        viewport: dict | None = None,
        page: str = "",
        events: tuple[dict, ...] | list[dict] = (),
    ) -> dict:
        """Commit one judgment; on return it is on disk.

        A repeated request with the same ``nonce`` is acknowledged again and changes nothing; anything else about a
        trial that is answered, still to come or someone else's is refused.

        Returns:
            {"duplicate": bool, "correct": bool | None}, the latter in training only.
        """
        if choice not in ("A", "B"):
            raise Refused("bad_choice", "the answer is A or B")
        with self._db.write() as connection:
            session = self._session(connection, token, lock=True)
            self._open(connection, session)
            asked = {"session": session["id"], "handle": handle}
            trial = connection.execute(NAMED_TRIAL, asked).mappings().first()
            if trial is None:
                raise NotFound("unknown_trial", "this trial is not one of yours")
            feedback = trial["phase"] == "training"
            if trial["choice"] is not None:
                if trial["nonce"] and trial["nonce"] == nonce and trial["choice"] == choice:
                    return {"duplicate": True, "correct": choice == trial["match"] if feedback else None}
                raise Conflict("already_answered", "this trial has been answered already; your first answer counts")
            position = trial["position"]
            if session["step"] != "trials" or position != trial["answered"] or trial["opened_at"] is None:
                raise Conflict("not_current", "this is not the current trial")
            now = self._db.clock()
            log_events(connection, session, page, events, now, trial=trial)
            require_played(connection, session, trial, now)
            connection.execute(
                sa.insert(t.judgments).values(
                    session_id=session["id"],
                    position=position,
                    choice=choice,
                    nonce=nonce,
                    at=now,
                    response_ms=response_ms,
                    viewport=json.dumps(viewport or {}),
                )
            )
            done = position + 1 == trial["planned"]
            self._set(
                connection,
                session,
                seen_at=now,
                **({"step": "done", "finished_at": now} if done else {}),
            )
            return {"duplicate": False, "correct": choice == trial["match"] if feedback else None}

    def withdraw(self, token: str) -> None:
        """Delete the session with every row about it; the study keeps a count of those who had agreed to take part."""
        with self._db.write() as connection:
            session = self._with_study(connection, token)
            connection.execute(sa.delete(t.sessions).where(t.sessions.c.id == session["id"]))
            if session["kind"] != "preview" and session["consent_id"] is not None:
                connection.execute(
                    sa.update(t.studies)
                    .where(t.studies.c.id == session["study_id"])
                    .values(withdrawn=t.studies.c.withdrawn + 1)
                )

    def media(self, handle: str) -> TrialMedia:
        """The files behind an opaque media name, while its trial is the current one."""
        with self._db.read() as connection:
            return media_of(connection, handle)

    # Below: parts of the above, inside its transaction.

    def _session(self, connection, token: str, *, lock: bool = False):
        query = sa.select(t.sessions).where(t.sessions.c.token == token)
        row = connection.execute(query.with_for_update() if lock else query).mappings().first()
        if row is None:
            raise _unknown()
        return row

    def _open(self, connection, session):
        study = load_study(connection, session["study_id"])
        if study.state == "archived":
            raise Conflict("closed", "this study is closed; thank you for your interest")
        return study

    def _with_study(self, connection, token: str):
        """The session, for a write that changes its study as well.

        The study's row is locked first, as whoever deletes the study or freezes it does: were it the other way round
        here, each could wait for the other.
        """
        study_id = self._session(connection, token)["study_id"]
        connection.execute(sa.select(t.studies.c.id).where(t.studies.c.id == study_id).with_for_update())
        return self._session(connection, token, lock=True)

    def _at(self, connection, token: str, step: str):
        session = self._with_study(connection, token)
        self._open(connection, session)
        if session["step"] != step:
            raise Conflict("other_step", "this step is done already")
        return session

    def _set(self, connection, session, **values) -> None:
        connection.execute(sa.update(t.sessions).where(t.sessions.c.id == session["id"]).values(**values))

    def _free_slot(self, connection, study_id: str) -> int:
        """The lowest free slot: one left by a withdrawal is filled again, which keeps the arrangements balanced."""
        query = sa.select(t.sessions.c.slot).where(t.sessions.c.study_id == study_id, t.sessions.c.slot.is_not(None))
        taken = set(connection.scalars(query))
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)


def _unknown() -> NotFound:
    return NotFound("unknown_link", "this link is not valid, or no longer")
