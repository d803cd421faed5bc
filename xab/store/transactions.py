"""Transactions: whole or not at all, and in line."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import sqlalchemy as sa


class Database:
    """An engine, a clock, and the two kinds of transaction."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], float]):
        self.engine = engine
        self.clock = clock
        # SQLite has one writer, and its own waiting polls with growing sleeps: queueing here keeps answers quick.
        self._writer = threading.Lock() if engine.dialect.name == "sqlite" else contextlib.nullcontext()

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Commits at the end of the block; an exception undoes all of it."""
        with self._writer, self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with self.engine.connect() as connection, connection.begin():
            yield connection
