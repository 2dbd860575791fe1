"""A study that several workers share through PostgreSQL; skipped where its packages are missing."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gan_lab.launch.searching import turns
from tests.test_sweep import assert_whole, ends, read, start, two_at_work, wait_until

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tools" / "postgres.sh"
pytest.importorskip("optuna", reason="pip install 'gan_lab[search]'")
sqlalchemy = pytest.importorskip("sqlalchemy")
pytest.importorskip("psycopg", reason="pip install 'gan_lab[postgresql]'")
HERE = bool(list(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or shutil.which("initdb"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HERE, reason="no PostgreSQL server: sudo apt-get install postgresql"),
]
__all__ = ["start"]  # a fixture


class Server:
    """A server of this test's own, in a folder that its user can reach."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])

    def run(self, *words: str) -> str:
        command = [str(SCRIPT), words[0], str(self.folder), *words[1:]]
        # Output goes to a file: the server that is started would keep a pipe open.
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, timeout=120)
            out.seek(0)
            text = out.read()
        assert done.returncode == 0, text
        return text

    def start(self) -> str:
        return self.run("start", self.port).split()[-1]

    def stop(self) -> None:
        self.run("stop")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="gan_lab_pg_", dir="/tmp"))
    made = Server(folder)
    made.start()
    yield made
    made.stop()
    shutil.rmtree(folder)


def test_a_killed_worker_loses_nothing(server: Server, start, tmp_path: Path) -> None:
    given = [server.start(), "trials=4", "study=killed", "finalists=1", "seeds=[1,2]"]
    one, two = two_at_work(start, tmp_path / "study", *given)
    one.kill()
    one.wait()
    (tmp_path / "gate").touch()
    out = ends(two, 0)
    assert "finalist" in out
    assert_whole(tmp_path / "study", trials=4, twice=1, finalists=2)
    study = (tmp_path / "study" / "study.json").read_text()
    password = re.search(r":(\w+)@", given[0])
    assert password is not None
    assert password[1] not in study
    assert read(tmp_path / "study")["storage"].startswith("postgresql+psycopg://gan_lab@127.0.0.1")
    assert not (tmp_path / "study" / "study.db").exists()


def test_workers_wait_for_a_server_that_restarts(server: Server, start, tmp_path: Path) -> None:
    one, two = two_at_work(start, tmp_path / "study", server.start(), "trials=4", "study=restart")
    server.stop()
    (tmp_path / "gate").touch()
    wait_until(lambda: (tmp_path / "study" / "trial_0000" / "result.json").exists(), "its end")
    server.start()
    for worker in (one, two):
        ends(worker, 0)
    assert_whole(tmp_path / "study", trials=4, twice=0)


def test_a_server_that_lets_no_one_in(server: Server, start, tmp_path: Path) -> None:
    wrong = re.sub(r":\w+@", ":wrong@", server.start())
    worker = start(wrong)
    _, err = worker.communicate(timeout=120)
    assert worker.returncode == 1
    assert b"Traceback" not in err
    assert b"cannot be used" in err
    assert b"wrong@" not in err
    assert os.listdir(tmp_path) == []


def test_a_turn_lasts_while_it_is_needed(server: Server, monkeypatch) -> None:
    limits = ("lock_timeout = '300ms'", "idle_in_transaction_session_timeout = '6s'")
    said = tuple(f"SET LOCAL {limit}" for limit in limits)
    monkeypatch.setitem(turns.LIMITS, "postgresql", said)
    engines = [sqlalchemy.create_engine(server.start().partition("=")[2]) for _ in range(2)]
    mine, theirs = (turns.turn_of(engine, "lasting") for engine in engines)
    with mine:
        for _ in range(16):  # longer than the limit
            time.sleep(0.4)
            mine.touch()
        with pytest.raises(turns.Taken):
            theirs.__enter__()
    with pytest.raises(sqlalchemy.exc.DBAPIError):
        idle(mine, theirs)
    for engine in engines:
        engine.dispose()


def idle(mine: turns.Turn, theirs: turns.Turn) -> None:
    """Have a turn for so long without a word that the server ends it and gives it to another."""
    with mine:
        time.sleep(8)
        with theirs:
            mine.touch()
