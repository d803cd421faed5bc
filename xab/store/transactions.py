"""Transactions: whole or not at all, and in line."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from .engine import StoreError, reason_of


class Database:
    """An engine, a clock, and the two ways to use them: to read and to write."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], float]):
        self.engine = engine
        self.clock = clock
        # SQLite has one writer, and its own waiting polls with growing sleeps: queueing here keeps answers quick.
        self._writer = threading.Lock() if engine.dialect.name == "sqlite" else contextlib.nullcontext()
        # What is read together is of one moment. SQLite does that by itself, PostgreSQL when it is asked to.
        self._to_read = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Commits at the end of the block; an exception undoes all of it."""
        with self._writer, _explained(), self._connect_to_write() as connection, connection.begin():
            yield connection

    def _connect_to_write(self) -> sa.Connection:
        return self.engine.connect().execution_options(writes=True)

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with (
            _explained(),
            self.engine.connect().execution_options(**self._to_read) as connection,
            connection.begin(),
        ):
            yield connection


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """A database that is away, full or locked is no fault of the request: it may be sent again."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.TimeoutError) as error:
        raise StoreError(f"the database does not answer: {reason_of(error)}") from error
