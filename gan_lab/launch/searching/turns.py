"""One worker at a time decides what is done next; however it dies, its turn ends with it.

Where a turn does not come, entering raises Taken: it is asked for again.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

WAIT = 10  # seconds for a turn, before a worker looks after its trainings again
# A worker whose machine is gone says nothing any more, and its turn would never end.
LIMITS = {
    "postgresql": (
        f"SET LOCAL lock_timeout = '{WAIT}s'",
        "SET LOCAL idle_in_transaction_session_timeout = '60s'",
    )
}


class Taken(Exception):
    """Another worker has the turn, and has had it for WAIT seconds."""


class Turn(Protocol):
    """Held by one worker at a time, as in `with turn:`."""

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...

    def touch(self) -> None:
        """Say that the turn is still needed, which one that lasts has to be told."""


class FileTurn:
    """A lock on a file beside the database's."""

    def __init__(self, engine: "Engine", name: str) -> None:
        from filelock import FileLock

        self.lock = FileLock(f"{engine.url.database}.lock")

    def __enter__(self) -> None:
        from filelock import Timeout

        try:
            self.lock.acquire(timeout=WAIT)
        except Timeout as error:
            raise Taken from error

    def __exit__(self, *error: object) -> None:
        self.lock.release()

    def touch(self) -> None:
        """A lock lasts as long as its process."""


class RowTurn:
    """A row of a database that no other transaction gets before this one ends."""

    def __init__(self, engine: "Engine", name: str) -> None:
        import sqlalchemy as sql
        from sqlalchemy.exc import IntegrityError, ProgrammingError

        column = sql.Column("study", sql.String(512), primary_key=True)
        table = sql.Table("gan_lab_turns", sql.MetaData(), column)
        self.engine = engine
        self.row = sql.select(table).where(column == name).with_for_update()
        with contextlib.suppress(IntegrityError, ProgrammingError):  # another worker was faster
            table.create(engine, checkfirst=True)
        with contextlib.suppress(IntegrityError), engine.begin() as connection:
            connection.execute(sql.insert(table).values(study=name))

    def __enter__(self) -> None:
        import sqlalchemy as sql
        from sqlalchemy.exc import DBAPIError

        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(self.engine.begin())
            for limit in LIMITS.get(connection.dialect.name, ()):
                connection.execute(sql.text(limit))
            try:
                connection.execute(self.row).one()
            except DBAPIError as error:
                if is_wait(error.orig):
                    raise Taken from error
                raise
            self.connection = connection
            self.held = stack.pop_all()

    def __exit__(self, *error: Any) -> None:
        self.held.__exit__(*error)

    def touch(self) -> None:
        """Where the database has ended the turn as idle, this raises."""
        import sqlalchemy as sql

        self.connection.execute(sql.text("SELECT 1"))


def is_wait(error: BaseException | None) -> bool:
    """Whether a database says that another has locked what was asked for."""
    locked = "55P03"  # PostgreSQL's lock_not_available
    states = [getattr(error, name, None) for name in ("sqlstate", "pgcode")]  # psycopg, psycopg2
    return locked in states or "Lock wait timeout" in str(error)


KINDS: dict[str, Callable[["Engine", str], Turn]] = {"sqlite": FileTurn}


def turn_of(engine: "Engine", name: str) -> Turn:
    """Take turns with all workers on the study of this name, as in `with turn:`."""
    return KINDS.get(engine.url.get_backend_name(), RowTurn)(engine, name)
