import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from gan_lab import RunError, UserError
from gan_lab.data import sources
from gan_lab.data.sources import Unavailable, checksum, download, fetch, pip_download

RACE = """
import sys, time
from pathlib import Path
from gan_lab.data.sources import fetch

folder = Path(sys.argv[1])

def attempt(partial):
    with (folder.parent / "attempts").open("a") as file:
        file.write("x")
    for name in ("one", "two"):
        (partial / name).write_text("wh")
        time.sleep(float(sys.argv[2]))
        (partial / name).write_text("whole")

fetch(folder, ["one", "two"], {"slow": attempt})
assert (folder / "one").read_text() == (folder / "two").read_text() == "whole"
"""


def start(folder, seconds):
    command = [sys.executable, "-c", textwrap.dedent(RACE), str(folder), str(seconds)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.mark.slow
def test_eight_processes_at_once_fetch_once(tmp_path):
    racers = [start(tmp_path / "raw", 0.1) for _ in range(8)]
    assert [racer.wait(60) for racer in racers] == [0] * 8
    assert (tmp_path / "attempts").read_text() == "x"
    assert visible(tmp_path / "raw") == ["one", "two"]


def test_a_killed_process_leaves_nothing_that_counts(tmp_path):
    folder = tmp_path / "raw"
    victim = start(folder, 60)
    deadline = time.monotonic() + 30
    while not (folder / ".partial" / "one").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert not (folder / "one").exists()
    assert start(folder, 0).wait(60) == 0
    assert visible(folder) == ["one", "two"]


def write(name, text="whole"):
    return lambda folder: (folder / name).write_text(text)


def refuse(folder):
    (folder / "file").write_text("half")
    raise Unavailable("no such host")


def test_the_next_attempt_starts_clean(tmp_path):
    def second(folder):
        assert list(folder.iterdir()) == []
        write("file")(folder)

    fetch(tmp_path / "raw", ["file"], {"first": refuse, "second": second})
    assert (tmp_path / "raw" / "file").read_text() == "whole"


def test_when_nothing_works_everything_tried_is_named(tmp_path):
    with pytest.raises(RunError) as raised:
        fetch(tmp_path / "raw", ["file"], {"a mirror": refuse, "a package": refuse})
    message = str(raised.value)
    assert "a mirror: no such host" in message
    assert "a package: no such host" in message
    assert f"put them into {tmp_path / 'raw'}" in message
    assert visible(tmp_path / "raw") == []


def test_a_file_that_is_there_is_never_replaced(tmp_path):
    (tmp_path / "mine").write_text("mine")

    def attempt(folder):
        write("mine", "theirs")(folder)
        write("new")(folder)

    fetch(tmp_path, ["mine", "new"], {"a mirror": attempt})
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "new").read_text() == "whole"


def test_an_interrupted_attempt_cleans_up(tmp_path):
    def interrupt(folder):
        write("file", "half")(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, ["file"], {"a mirror": interrupt})
    assert visible(tmp_path) == []


def test_a_full_disk_is_no_unreachable_mirror(tmp_path):
    def fill(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match=r"cannot store data in .*No space left"):
        fetch(tmp_path, ["file"], {"a mirror": fill})


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write into .*data\.root"):
        fetch(tmp_path / "file" / "raw", ["x"], {})


def test_download(web, tmp_path):
    web.pages["/file"] = os.urandom(3_000_000)
    download(f"{web.address}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == web.pages["/file"]


def test_download_of_what_is_not_there(web, tmp_path):
    with pytest.raises(Unavailable, match="404"):
        download(f"{web.address}/file", tmp_path / "file")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://no-such-host.invalid/x"])
def test_download_from_nowhere(url, tmp_path):
    with pytest.raises(Unavailable):
        download(url, tmp_path / "file")


def test_a_silent_server_is_left_soon(web, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "PATIENCE", 0.2)
    web.delay = 1.0
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"no answer within 0\.2 s|timed out"):
        download(f"{web.address}/file", tmp_path / "file")
    assert time.monotonic() - started < 0.9


@pytest.mark.slow
def test_pip_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(Unavailable, match=r"ERROR: .*no-such-package"):
        pip_download("no-such-package==1.0", tmp_path)


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_checksum_of_bytes_and_of_a_file(tmp_path, algorithm):
    (tmp_path / "file").write_bytes(b"content")
    expected = hashlib.new(algorithm, b"content").hexdigest()
    assert checksum(b"content", like=expected) == expected
    assert checksum(tmp_path / "file", like=expected) == expected
