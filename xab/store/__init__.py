"""Everything that speaks SQL: studies for the experimenter, sessions for the volunteers, on SQLite or PostgreSQL."""

import time
from collections.abc import Callable

from .engine import StoreError, migrate, open_engine
from .errors import Conflict, NotFound, Refused
from .links import Links
from .records import Pair, Stimulus, Study
from .results import Results
from .sessions import Sessions
from .studies import Studies
from .tally import Tally
from .transactions import Database
from .trials import MediaFile, TrialMedia

__all__ = [
    "Conflict",
    "Links",
    "MediaFile",
    "NotFound",
    "Pair",
    "Refused",
    "Results",
    "Sessions",
    "Stimulus",
    "Store",
    "StoreError",
    "Studies",
    "Study",
    "Tally",
    "TrialMedia",
]


class Store:
    """The database, migrated to the newest schema.

    Args:
        url: "sqlite:///PATH" or "postgresql://USER:PASSWORD@HOST/NAME".
        clock: seconds since 1970.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time):
        self.engine = open_engine(url)
        migrate(self.engine)
        self._database = database = Database(self.engine, clock)
        self.studies = Studies(database)
        self.links = Links(database)
        self.results = Results(database)
        self.sessions = Sessions(database)
        self.tally = Tally(database)

    @property
    def shown(self) -> str:
        """Where the data is, for people: without the password."""
        if self.engine.dialect.name == "sqlite":
            return str(self.engine.url.database)
        return self.engine.url.render_as_string(hide_password=True)

    def reachable(self) -> bool:
        """Whether the database answers now."""
        try:
            with self._database.read() as connection:
                connection.exec_driver_sql("SELECT version_num FROM alembic_version")
        except StoreError:
            return False
        return True

    def close(self) -> None:
        self.engine.dispose()
