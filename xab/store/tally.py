"""How many visitors of the test to try got how many trials right: counts, and nothing that leads to anybody."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from . import schema as t
from .transactions import Database

INSERT = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class Tally:
    def __init__(self, database: Database):
        self._db = database

    def add(self, correct: int, trials: int) -> None:
        """Count one visitor."""
        with self._db.write() as connection:
            row = INSERT[connection.dialect.name](t.tryouts).values(trials=trials, correct=correct, people=1)
            more = row.on_conflict_do_update(
                index_elements=[t.tryouts.c.trials, t.tryouts.c.correct], set_={"people": t.tryouts.c.people + 1}
            )
            connection.execute(more)

    def counts(self) -> list[dict]:
        """{"trials", "correct", "people"} for each result that anybody had."""
        query = sa.select(t.tryouts).order_by(t.tryouts.c.trials, t.tryouts.c.correct)
        with self._db.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
