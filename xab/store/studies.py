"""Studies as the experimenter sees them: designed, filled with stimuli, frozen, archived, deleted."""

import json
import secrets

import sqlalchemy as sa

from ..plan import Design
from . import schema as t
from .errors import Conflict
from .records import Pair, Study, freeze, load_pairs, load_study, set_study
from .transactions import Database

STALE_WORKER = 60.0  # seconds without a sign of life after which another worker may take over
EDITABLE = ("draft", "failed", "ready")


class Studies:
    def __init__(self, database: Database):
        self._db = database

    def create(self, design: Design) -> str:
        """A draft; returns its id."""
        study_id, now = secrets.token_hex(6), self._db.clock()
        with self._db.write() as connection:
            connection.execute(
                sa.insert(t.studies).values(
                    id=study_id,
                    title=design.title.strip(),
                    state="draft",
                    design=design.to_json(),
                    created_at=now,
                    withdrawn=0,
                    deleted=0,
                    made=0,
                    to_make=0,
                    note="",
                    numbered=0,
                )
            )
            connection.execute(
                sa.insert(t.consents).values(study_id=study_id, version=1, text=design.consent_text, created_at=now)
            )
        return study_id

    def get(self, study_id: str) -> Study:
        with self._db.read() as connection:
            return load_study(connection, study_id)

    def all(self) -> list[Study]:
        with self._db.read() as connection:
            ids = connection.scalars(sa.select(t.studies.c.id).order_by(t.studies.c.created_at.desc())).all()
            return [load_study(connection, study_id) for study_id in ids]

    def pairs(self, study_id: str) -> list[Pair]:
        with self._db.read() as connection:
            return load_pairs(connection, study_id)

    def revise(self, study_id: str, design: Design) -> list[str]:
        """Replace the design of a study that nobody has started; returns paths of stimuli no longer used.

        Links that were made stay valid: they may have been sent. They wait until the new stimuli are ready.
        """
        with self._db.write() as connection:
            study = load_study(connection, study_id, lock=True)
            if study.state not in EDITABLE:
                raise Conflict("frozen", f"the study is {study.state}: its design cannot change any more")
            of_study = t.sessions.c.study_id == study_id
            connection.execute(sa.delete(t.sessions).where(of_study, t.sessions.c.kind == "preview"))
            if connection.scalar(sa.select(t.sessions.c.id).where(of_study, t.sessions.c.consent_id.is_not(None))):
                raise Conflict("started", "volunteers have agreed to this design: it cannot change any more")
            paths = self._drop_pairs(connection, study_id)
            if design.consent_text != study.design.consent_text:
                newest = connection.scalar(
                    sa.select(sa.func.max(t.consents.c.version)).where(t.consents.c.study_id == study_id)
                )
                connection.execute(
                    sa.insert(t.consents).values(
                        study_id=study_id,
                        version=newest + 1,
                        text=design.consent_text,
                        created_at=self._db.clock(),
                    )
                )
            set_study(
                connection,
                study_id,
                design=design.to_json(),
                title=design.title.strip(),
                state="draft",
                note="",
                made=0,
            )
        return paths

    # Making stimuli: one worker at a time holds a study; a dead one's place may be taken.

    def request(self, study_id: str) -> None:
        """Announce that a worker is being started, so that no second one is."""
        with self._db.write() as connection:
            study = load_study(connection, study_id, lock=True)
            now = self._db.clock()
            if study.state not in ("draft", "failed") and not self.stale(study):
                raise Conflict("making", f"stimuli are made of a draft; this study is {study.state}")
            set_study(connection, study_id, state="making", worker=None, worker_at=now, note="starting")

    def stale(self, study: Study) -> bool:
        """Whether the study's worker has given no sign of life for so long that it must be dead."""
        return study.state == "making" and self._db.clock() - (study.worker_at or 0) >= STALE_WORKER

    def cancel(self, study_id: str) -> None:
        """Stop making stimuli; what is made stays, and the worker ends at its next sign of life."""
        with self._db.write() as connection:
            study = load_study(connection, study_id, lock=True)
            if study.state != "making":
                raise Conflict("not_making", f"nothing is being made; the study is {study.state}")
            note = f"cancelled after {study.made} of {study.to_make} pairs"
            set_study(connection, study_id, state="failed", worker=None, note=note)

    def claim(self, study_id: str, worker: str, to_make: int) -> None:
        with self._db.write() as connection:
            study = load_study(connection, study_id, lock=True)
            now = self._db.clock()
            if study.state in ("frozen", "archived"):
                raise Conflict("frozen", f"the study is {study.state}: its stimuli cannot change any more")
            if study.state == "ready":  # taking it back from links that may be in use would let a design change later
                raise Conflict("made", "the study is ready: every pair is made")
            if study.state == "making" and study.worker not in (None, worker) and not self.stale(study):
                raise Conflict("making", "another process is making these stimuli")
            set_study(
                connection, study_id, state="making", worker=worker, worker_at=now, to_make=to_make, note="starting"
            )

    def progress(self, study_id: str, worker: str, note: str) -> None:
        """A sign of life; Conflict when the worker has lost the study."""
        with self._db.write() as connection:
            self._held(connection, study_id, worker)
            set_study(connection, study_id, worker_at=self._db.clock(), note=note[:1000])

    def add_pair(self, study_id: str, worker: str, pair: Pair) -> None:
        values = {
            name: getattr(pair, name)
            for name in ("position", "phase", "model", "attack", "modality", "eps_av", "speech", "clip", "frames")
        }
        with self._db.write() as connection:
            study = self._held(connection, study_id, worker)
            pair_id = connection.execute(
                sa.insert(t.pairs).values(**values, study_id=study_id, measures=json.dumps(pair.measures))
            ).inserted_primary_key[0]
            for file in pair.stimuli:
                connection.execute(sa.insert(t.stimuli).values(pair_id=pair_id, **vars(file)))
            set_study(connection, study_id, made=study.made + 1, worker_at=self._db.clock())

    def finish(self, study_id: str, worker: str, *, error: str | None = None) -> None:
        with self._db.write() as connection:
            self._held(connection, study_id, worker)
            set_study(
                connection,
                study_id,
                state="failed" if error else "ready",
                note=(error or "")[:2000],
                worker=None,
                made=connection.scalar(
                    sa.select(sa.func.count()).select_from(t.pairs).where(t.pairs.c.study_id == study_id)
                ),
            )

    def freeze(self, study_id: str) -> None:
        with self._db.write() as connection:
            study = load_study(connection, study_id, lock=True)
            if study.state != "ready":
                raise Conflict(
                    "not_ready", f"only a study whose stimuli are ready can be frozen; this is {study.state}"
                )
            freeze(connection, study, self._db.clock())

    def archive(self, study_id: str) -> None:
        """Close the study: links stop working, results stay."""
        with self._db.write() as connection:
            study = load_study(connection, study_id, lock=True)
            if study.state != "frozen":
                raise Conflict("not_running", f"only a frozen study can be archived; this is {study.state}")
            set_study(connection, study_id, state="archived", archived_at=self._db.clock(), open_token=None)

    def delete(self, study_id: str) -> list[str]:
        """Remove a study with every answer; returns the paths of its stimuli."""
        with self._db.write() as connection:
            load_study(connection, study_id, lock=True)
            connection.execute(sa.delete(t.sessions).where(t.sessions.c.study_id == study_id))
            paths = self._drop_pairs(connection, study_id)
            connection.execute(sa.delete(t.studies).where(t.studies.c.id == study_id))
        return paths

    def _held(self, connection, study_id, worker) -> Study:
        study = load_study(connection, study_id, lock=True)
        if study.state != "making" or study.worker != worker:
            raise Conflict("lost", "these stimuli are no longer this worker's to make")
        return study

    def _drop_pairs(self, connection, study_id) -> list[str]:
        paths = [file.path for pair in load_pairs(connection, study_id) for file in pair.stimuli]
        connection.execute(sa.delete(t.pairs).where(t.pairs.c.study_id == study_id))
        return paths
