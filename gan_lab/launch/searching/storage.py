"""Where a study is kept: one SQLite file, or any database that SQLAlchemy can talk to.

SQLite's locks go with the process that holds them, and what a killed process had half written is
rolled back, so it stays whole. On a network file system it does not: use a database server there.
"""

import contextlib
import logging
import re
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_lab import RunError, UserError
from gan_lab.launch.searching.turns import Taken

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import URL

OUTAGE = 600.0  # seconds that a database may be gone
PAUSE = 2.0  # before it is asked again
WAIT = 60  # seconds for another process to let go of the database
CONNECT: dict[str, dict[str, Any]] = {"sqlite": {"timeout": WAIT}}
RACES = (1.0, 1.0, 0.0)  # seconds after each time that others were making the same tables
REMEDIES = {"sqlite": "see that its folder can be written, or that no other program holds the file"}
REMEDY = (
    "see that its server runs and lets you in, or leave storage out to keep the study in a file"
)
EXAMPLES = "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE"


def require_optuna() -> None:
    """Raise UserError where the search cannot work; quieten what would clutter the screen."""
    if missing("optuna"):
        raise UserError("the package optuna is missing; python -m pip install 'gan_lab[search]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def missing(package: str) -> bool:
    try:
        return find_spec(package) is None
    except ValueError:  # in sys.modules without a spec
        return True


def read_url(given: str | None, folder: Path) -> "URL":
    """The database's address; by default a file in the study's folder.

    Raises:
        UserError: where it is none, or the package that would talk to it is missing.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(given or f"sqlite:///{folder / 'study.db'}")
        url.get_dialect().import_dbapi()
    except ArgumentError as error:  # also for a database that SQLAlchemy does not know
        raise UserError(f"storage={given} is no database's URL; give {EXAMPLES}") from error
    except ImportError as error:
        raise UserError(
            f"storage={without_password(url)} needs the package {error.name or 'of its driver'}; "
            "python -m pip install 'gan_lab[postgresql]' and write postgresql+psycopg://..., or "
            "install the driver that it names"
        ) from error
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise UserError(f"storage={given} would be lost with the process; give sqlite:///FILE")
    return url


def without_password(url: "URL") -> str:
    shown = url._replace(password=None)  # set() takes None for no change
    secret = [key for key in url.query if re.search("pass|pwd|secret|token", key.lower())]
    return shown.difference_update_query(secret).render_as_string()


def connect(url: "URL") -> "RDBStorage":
    """Open the database, and make its tables where there are none.

    Raises:
        RunError: where it cannot be reached or used.
    """
    from optuna.exceptions import StorageInternalError
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    options = {"connect_args": CONNECT.get(url.get_backend_name(), {}), "pool_pre_ping": True}
    text = url.render_as_string(hide_password=False)
    for patience in RACES:
        try:
            with alone(url):
                return RDBStorage(text, engine_kwargs=options)
        except (SQLAlchemyError, StorageInternalError, OSError, RuntimeError) as error:
            if not patience or not is_race(error):
                raise unreachable(url, error) from error
            time.sleep(patience)
    raise AssertionError


def alone(url: "URL") -> AbstractContextManager[Any]:
    """Held while tables are made: SQLite does not keep two processes from making the same ones.

    A lock of its own, since turns may last: with theirs, a worker that joins would give up.
    """
    from filelock import FileLock

    if url.get_backend_name() != "sqlite":
        return contextlib.nullcontext()
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.tables.lock", timeout=WAIT)


def is_race(error: Exception) -> bool:
    """Whether another worker was making the same tables."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    return isinstance(error, (IntegrityError, ProgrammingError)) or "already exists" in str(error)


def unreachable(url: "URL", error: Exception) -> RunError:
    return RunError(
        f"storage={without_password(url)} cannot be used: {first_line(error)}; "
        f"{REMEDIES.get(url.get_backend_name(), REMEDY)}"
    )


class Patience:
    """Bears with a database that is gone for a while, as where its server restarts."""

    def __init__(self) -> None:
        self.gone_since: float | None = None

    def __call__(self, call: Callable[[], Any]) -> Any:
        """What the call returns; None while the database is gone.

        Raises:
            RunError: where that lasts.
        """
        try:
            result = call()
        except Exception as error:
            if not is_outage(error):
                raise
            self.bear(trouble(error))
            return None
        self.gone_since = None
        return result

    def insist(self, call: Callable[[], Any]) -> Any:
        """What the call returns, once the database is there."""
        while (result := self(call)) is None:
            pass  # bearing takes its time
        return result

    def bear(self, said: str) -> None:
        now = time.monotonic()
        if self.gone_since is None:
            self.gone_since = now
            print(f"warning: {said}", file=sys.stderr, flush=True)
        if now - self.gone_since > OUTAGE:
            raise RunError(f"{said}; the same command goes on")
        time.sleep(PAUSE)


def trouble(error: Exception) -> str:
    if isinstance(error, Taken):
        return "another worker is deciding what is done next, and takes long; it is waited for"
    return f"the database is gone: {first_line(error)}"


def first_line(error: BaseException) -> str:
    """Of the driver's own words where there are any; Optuna and SQLAlchemy wrap them."""
    cause = error.__cause__
    told = getattr(error, "orig", None) or getattr(cause, "orig", None) or error
    return str(told).strip().splitlines()[0]


def is_outage(error: Exception) -> bool:
    """Whether the database was not to be had for a moment: what was asked may be asked again."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DBAPIError

    return isinstance(error, (StorageInternalError, DBAPIError, Taken))
