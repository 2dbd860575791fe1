"""Nothing is lost: damaged checkpoints, full disks, second processes, dead ranks, kills."""

import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from gan_lab import RunError, UserError
from gan_lab.launch.entry import guarded
from gan_lab.launch.lock import Lock
from gan_lab.launch.resuming import Start, tidy
from gan_lab.launch.runs import Run
from gan_lab.metrics.storage import write_atomically
from gan_lab.train import train
from gan_lab.training import checkpoint, storage
from gan_lab.training.callbacks import health
from gan_lab.training.callbacks.checkpoints import Checkpoints, Signals
from gan_lab.training.callbacks.evaluation import Evaluation, write_best
from gan_lab.training.callbacks.metrics_csv import MetricsCSV
from gan_lab.training.distributed import how, is_of_connection
from gan_lab.training.tensorboard import RunTensorBoard
from tests.conftest import run_generate, run_train, tiny
from tests.test_train import assert_same_runs, resume, rows_of, state_of, stop_at, wait_for

ROOT = Path(__file__).parents[1]
FIXTURE = Path(__file__).parent / "fixtures" / "format_1.ckpt"
OFTEN = ["trainer.log_every_n_steps=3", "callbacks.samples.every=96"]
EVERY_STEP = ["callbacks.checkpoints.minutes=1e-9", *OFTEN]
WHOLE = {"format_version": 1, "config": {}, "progress": {}, "state_dict": {"w": torch.ones(999)}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run left alone, with a checkpoint at every step; not to be changed."""
    folder = tmp_path_factory.mktemp("survival") / "whole"
    assert run_train(folder, *EVERY_STEP) == 0
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def scalars(folder: Path) -> Counter:
    """How often each scalar and picture is there, at each step, in all event files together."""
    files = sorted(map(str, folder.glob("events.out.tfevents.*")))
    found = [event for file in files for event in EventFileLoader(file).Load()]
    values = [(event.step, value.tag) for event in found for value in event.summary.value]
    return Counter(place for place in values if not place[1].startswith(("_", "verdict/text")))


def assert_equal_records(whole: Path, parts: Path) -> None:
    assert_same_runs(whole, parts)
    assert scalars(whole) == scalars(parts)
    for name in ("evolution.png", "evolution.gif"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


# --- resume ------------------------------------------------------------------------------------


def save_after_last_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave checkpoints of an epoch's last batch, from which Lightning goes on wrongly."""
    original = Checkpoints.on_train_batch_end

    def end(self: Checkpoints, trainer, *rest) -> None:
        original(self, trainer, *rest)
        if trainer.should_stop:
            self.save(trainer)

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", end)


@pytest.mark.parametrize(
    "stops",
    [[96, 128, 144, 256], [128, 160], [16, 48, 144]],
    ids=lambda stops: "_".join(map(str, stops)),
)
@pytest.mark.parametrize("stage", ["batch", "epoch"])
@pytest.mark.slow
def test_a_run_stopped_again_and_again_ends_like_another(
    stage: str, stops: list[int], whole: Path, tmp_path: Path, monkeypatch
) -> None:
    if stage == "batch":
        save_after_last_batches(monkeypatch)
    for i, images in enumerate(stops):
        with monkeypatch.context() as patch:
            stop_at(patch, images)
            run = tmp_path / "run"
            assert (resume(run) if i else run_train(run, *OFTEN)) == 143
    assert resume(run) == 0
    assert_equal_records(whole, run)


@pytest.mark.parametrize("minutes", ["1e-9", "null"], ids=["every_step", "every_epoch"])
@pytest.mark.slow
def test_a_run_killed_at_its_end_is_ended(minutes: str, tmp_path: Path) -> None:
    """All steps are saved; the last grid, the evolution and result.json are not there yet."""
    whole = tmp_path / "whole"
    assert run_train(whole, *OFTEN, f"callbacks.checkpoints.minutes={minutes}") == 0
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    for path in (copy / "result.json", copy / "evolution.gif", *copy.glob("samples/*256.png")):
        path.unlink()
    assert resume(copy) == 0
    assert json.loads((copy / "result.json").read_text())["status"] == "finished"
    assert_equal_records(whole, copy)


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_starts_again(whole: Path, copy: Path) -> None:
    shutil.rmtree(copy / "checkpoints")
    (copy / "result.json").unlink()
    assert resume(copy) == 0
    assert_equal_records(whole, copy)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path: Path) -> None:
    """In the middle of a tensor, where torch.load itself notices nothing."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip_a_bit], ids=lambda f: f.__name__)
@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_skipped(
    damage, whole: Path, copy: Path, status_and_message
) -> None:
    (copy / "result.json").unlink()
    damage(copy / "checkpoints" / "last.ckpt")
    status, message = status_and_message(resume, copy)
    assert status == 0, message
    assert f"{copy / 'checkpoints' / 'last.ckpt'} cannot be read" in message
    assert "skipped for previous.ckpt" in message
    assert_equal_records(whole, copy)


def test_without_any_whole_checkpoint_nothing_is_touched(copy: Path, status_and_message) -> None:
    (copy / "result.json").unlink()
    for path in (copy / "checkpoints").glob("*.ckpt"):
        cut(path)
    before = contents(copy)
    status, message = status_and_message(resume, copy)
    assert status == 2
    assert "last.ckpt cannot be read" in message
    assert contents(copy) == before


def test_the_best_checkpoint_is_the_last_resort(tmp_path: Path, capsys) -> None:
    """It is written in the middle of a step: alone, it says that no step was saved."""
    checkpoint.save(WHOLE, tmp_path / "best.ckpt")
    assert checkpoint.newest(tmp_path) is None
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found[0] == tmp_path / "best.ckpt"
    assert "last.ckpt cannot be read" in capsys.readouterr().err


def best_alone(run: Path) -> None:
    """best.ckpt at image 128, and a damaged last.ckpt with none before it."""
    folder = run / "checkpoints"
    content = checkpoint.load(folder / "last.ckpt")
    content["progress"]["images_seen"] = 128
    checkpoint.save(content, folder / "best.ckpt")
    (folder / "previous.ckpt").unlink()
    cut(folder / "last.ckpt")


def test_the_last_resort_stays_the_same_until_a_checkpoint_is_saved(copy: Path) -> None:
    """For ranks that look after the first one has tidied, and where it is killed before a save."""
    best_alone(copy)
    folder = copy / "checkpoints"
    run = Run(copy, OmegaConf.create(), resumed=True)
    start = Start(folder / "best.ckpt", 128, None)
    tidy(run, start)
    for _ in range(2):
        found = checkpoint.newest(folder)
        assert found is not None
        assert found[0] == start.path
        tidy(run, start)
    whole = checkpoint.load(folder / "best.ckpt")
    checkpoint.AtomicCheckpointIO(copy).save_checkpoint(whole, folder / "last.ckpt")
    assert sorted(path.name for path in folder.glob("*")) == ["best.ckpt", "last.ckpt"]


def test_the_previous_checkpoint_is_one_save_older(whole: Path) -> None:
    previous = checkpoint.load(whole / "checkpoints" / "previous.ckpt")
    assert previous["progress"]["images_seen"] == 256 - 16
    assert state_of(whole)["progress"]["images_seen"] == 256


@pytest.mark.slow
def test_what_kills_left_half_written_is_removed(copy: Path) -> None:
    (copy / "result.json").unlink()
    halves = [copy / ".metrics.csv.123", copy / "samples" / ".images_1.png.9"]
    halves.append(copy / "checkpoints" / ".last.ckpt.77")
    for path in halves:
        path.write_bytes(b"half")
    assert resume(copy) == 0
    assert not any(path.exists() for path in halves)


FOREIGN = (".x.json", ".python3.11", "sub/.eslintrc.json", "samples/.9", ".notes.gif")


def plant(folder: Path) -> list[Path]:
    """Hidden files that are not the run's."""
    for path in (paths := [folder / name for name in FOREIGN]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    return paths


@pytest.mark.slow
def test_hidden_files_of_others_are_left_alone(copy: Path, tmp_path: Path) -> None:
    (copy / "result.json").unlink()
    old, new = plant(copy), plant(tmp_path / "new")
    assert resume(copy) == 0
    assert run_train(tmp_path / "new", "trainer.max_epochs=1") == 0
    assert all(path.read_text() == "mine" for path in old + new)


def test_a_new_run_removes_only_what_is_surely_of_one(tmp_path: Path) -> None:
    """Such as the config that a run was killed over: its folder is not known as a run's yet."""
    for name in (".config.yaml.7", ".health.json"):
        (tmp_path / name).write_text("half")
    storage.clear_partials(tmp_path, resumed=False)
    assert [path.name for path in tmp_path.iterdir()] == [".health.json"]
    storage.clear_partials(tmp_path, resumed=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_records_reach_the_disk_before_the_checkpoint(tmp_path: Path, monkeypatch) -> None:
    order: list[str] = []
    save, fsync = checkpoint.save, os.fsync

    def noted_sync(handle: int) -> None:
        order.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def noted_save(*arguments) -> None:
        order.append("checkpoint")
        save(*arguments)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(checkpoint, "save", noted_save)
    short = ["trainer.max_epochs=1", "callbacks.checkpoints.minutes=null"]
    assert run_train(tmp_path / "run", *short) == 0
    before = order[: order.index("checkpoint")]
    assert {"metrics.csv", "images_0000000000.png"} <= set(before)
    assert any(name.startswith("events.out.tfevents") for name in before)
    after = order[order.index("checkpoint") + 1 :]
    assert after.index(f".last.ckpt.{os.getpid()}") < after.index("checkpoints")


def test_metrics_reach_the_disk_before_they_replace_others(tmp_path: Path, monkeypatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_sync(handle: int) -> None:
        order.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        fsync(handle)

    def noted_replace(path: Path, target: Path) -> Path:
        order.append(f"rename {path.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    record = MetricsCSV()
    record.path, record.columns = tmp_path / "metrics.csv", ["images_seen"]
    record.rewrite([{"images_seen": "1"}])
    write_atomically(tmp_path / "best.json", b"{}")
    names = [f".{name}.{os.getpid()}" for name in ("metrics.csv", "best.json")]
    assert order == [f"{what} {name}" for name in names for what in ("sync", "rename")]


def test_a_checkpoint_of_the_first_format_loads_and_makes_images(tmp_path: Path) -> None:
    assert FIXTURE.stat().st_size < 200_000
    content = checkpoint.load(FIXTURE)
    assert content["format_version"] == 1
    assert content["progress"]["images_seen"] == 128
    output = tmp_path / "images.npz"
    assert run_generate(f"checkpoint={FIXTURE}", f"output={output}", "num_images=4") == 0
    assert np.load(output)["images"].shape == (4, 28, 28, 1)


@pytest.mark.slow
def test_a_run_goes_on_from_a_checkpoint_of_the_first_format(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    config = checkpoint.load(FIXTURE)["config"]
    recipe = ["networks.generator.hidden=[4]", "networks.discriminator.hidden=[4]"]
    arguments = tiny("trainer.max_epochs=1", *recipe, networks="mlp")
    for folder in (whole, parts):
        assert guarded("train", train, [f"hydra.run.dir={folder}", *arguments]) == 0
    for player, settings in config["networks"].items():  # newer settings have their defaults
        now = state_of(whole)["config"]["networks"][player]
        assert {key: now[key] for key in settings} == settings
    (parts / "result.json").unlink()
    shutil.copy(FIXTURE, parts / "checkpoints" / "last.ckpt")
    assert resume(parts, "trainer.max_epochs=2") == 0
    assert state_of(parts)["progress"]["images_seen"] == 256


# --- one process a folder ----------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from gan_lab.launch.lock import Lock
Lock(Path(sys.argv[1])).take()
print("held", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen]:
    """Another process that has the folder's lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def contents(folder: Path) -> dict[Path, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    return {path: path.read_bytes() for path in files}


@pytest.mark.slow
def test_a_second_process_is_refused_and_told_of_the_first(copy: Path, status_and_message) -> None:
    (copy / "result.json").unlink()
    before = contents(copy)
    with held(copy) as process:
        status, message = status_and_message(resume, copy)
        assert status == 2
        assert (
            f"is being trained by process {process.pid} on {os.uname().nodename} since" in message
        )
        (copy / "config.yaml").rename(copy / "moved")
        status, message = status_and_message(run_train, copy)  # it has not written its config yet
        (copy / "moved").rename(copy / "config.yaml")
        assert status == 2
        assert f"process {process.pid}" in message
        assert run_generate(f"checkpoint={copy}", f"output={copy / 'a.npz'}", "num_images=1") == 0
    (copy / "a.npz").unlink()
    assert contents(copy) == before
    assert resume(copy) == 0  # the lock went with its process


def test_a_finished_run_leaves_the_lock_open(whole: Path) -> None:
    lock = Lock(whole)
    lock.take()
    with pytest.raises(UserError, match=f"process {os.getpid()} on"):
        Lock(whole).take()
    lock.release()
    Lock(whole).take()


def test_ranks_share_the_lock_of_the_first(tmp_path: Path, monkeypatch) -> None:
    lock = Lock(tmp_path)
    lock.take()
    monkeypatch.setenv("LOCAL_RANK", "1")
    Lock(tmp_path).take()
    lock.release()


def test_a_file_system_without_locks_refuses_nothing(tmp_path: Path, monkeypatch) -> None:
    import fcntl

    def missing(*_) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", missing)
    Lock(tmp_path).take()
    Lock(tmp_path).take()


# --- a disk that refuses -------------------------------------------------------------------------


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as a full disk or a quota would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full_between(monkeypatch: pytest.MonkeyPatch, first: int, last: int) -> None:
    """Refuse files above 1,000 bytes while so many images have been seen."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    original = Checkpoints.on_train_batch_end

    def end(self: Checkpoints, trainer, *rest) -> None:
        if trainer.lightning_module.images_seen == first:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        if trainer.lightning_module.images_seen == last:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        original(self, trainer, *rest)

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", end)


@pytest.fixture
def unlimited() -> Iterator[None]:
    """Whatever a test leaves, files may grow again."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    storage.failing.clear()


@pytest.mark.usefixtures("unlimited")
@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while_costs_nothing_but_pictures(
    whole: Path, tmp_path: Path, monkeypatch, status_and_message
) -> None:
    full_between(monkeypatch, first=80, last=144)
    status, message = status_and_message(run_train, tmp_path / "run", *EVERY_STEP)
    assert status == 0, message
    for name in ("last.ckpt", "metrics.csv", "events.out.tfevents"):
        complaints = [x for x in message.splitlines() if name in x and "cannot write" in x]
        assert len(complaints) == 1, message
        assert "File too large; training goes on and tries again" in complaints[0]
    assert "last.ckpt is written again" in message
    assert_same_but_pictures(whole, tmp_path / "run")


def assert_same_but_pictures(whole: Path, run: Path) -> None:
    clocks = {"seconds", "images_per_second"}
    a, b = ([{k: r[k] for k in r.keys() - clocks} for r in rows_of(f)] for f in (whole, run))
    assert a == b
    pick = {key for key in scalars(whole) if key[1] != "samples"}
    assert {k: n for k, n in scalars(run).items() if k in pick} == dict.fromkeys(pick, 1)
    assert state_of(run)["progress"] == state_of(whole)["progress"]


@pytest.mark.usefixtures("unlimited")
@pytest.mark.slow
def test_a_disk_that_stays_full_ends_with_the_reason_and_the_last_good_checkpoint(
    whole: Path, tmp_path: Path, monkeypatch, status_and_message
) -> None:
    with monkeypatch.context() as patch:
        full_between(patch, first=80, last=-1)
        status, message = status_and_message(run_train, tmp_path / "run", *EVERY_STEP)
    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    assert status == 1
    assert "error: the end of the run is not saved" in message
    assert f"resume={tmp_path / 'run'}" in message
    assert "Traceback" not in message
    found = checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert found is not None
    assert found[1]["progress"]["images_seen"] == 64
    storage.failing.clear()
    assert resume(tmp_path / "run") == 0
    assert_equal_records(whole, tmp_path / "run")


@pytest.mark.usefixtures("unlimited")
@pytest.mark.slow
def test_a_disk_that_is_full_from_the_start_ends_in_words(
    tmp_path: Path, status_and_message
) -> None:
    with largest_file(6000):
        status, message = status_and_message(run_train, tmp_path / "run", *OFTEN)
    assert status == 1
    assert "Traceback" not in message
    assert "cannot write what callbacks.samples makes (on_train_start)" in message
    assert message.count("error: ") == 1
    assert "error: the end of the run is not saved" in message
    assert "warning: something is missing of what callbacks.samples makes" in message


@pytest.mark.usefixtures("unlimited")
def test_a_monitor_that_could_not_start_stays_away(tmp_path: Path, monkeypatch) -> None:
    def refused(*_) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(health, "read_rows", refused)
    monkeypatch.setattr(health.History, "of", refused)
    often = ["callbacks.health.every=32", "callbacks.health.num_images=32"]
    assert run_train(tmp_path / "run", *often) == 0
    assert not (tmp_path / "run" / "health.json").exists()


class OneRank:
    """A trainer as far as `Evaluation.keep` knows it, on a disk that may be full."""

    is_global_zero = True

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.strategy = self

    def broadcast(self, value: bool) -> bool:
        return value

    def save_checkpoint(self, path: Path) -> None:
        with largest_file(self.largest):
            checkpoint.AtomicCheckpointIO(path.parents[1]).save_checkpoint(WHOLE, path)


@pytest.mark.usefixtures("unlimited")
def test_what_could_not_be_saved_is_not_the_best(tmp_path: Path, capsys) -> None:
    evaluation = Evaluation(["fid"])
    evaluation.folder = tmp_path / "checkpoints"
    evaluation.last = {"images_seen": 16, "fid": 3.0}
    evaluation.keep(OneRank(largest=1000))  # type: ignore[arg-type]
    assert evaluation.best == {}
    assert list(evaluation.folder.iterdir()) == []
    assert f"cannot write {evaluation.folder / 'best.ckpt'}: File too large" in (
        capsys.readouterr().err
    )
    evaluation.keep(OneRank(largest=100_000))  # type: ignore[arg-type]
    assert evaluation.best == evaluation.last
    assert {path.name for path in evaluation.folder.iterdir()} == {"best.ckpt", "best.json"}


@pytest.mark.usefixtures("unlimited")
@pytest.mark.slow
def test_what_is_missing_at_the_end_is_named(tmp_path: Path, monkeypatch, capsys) -> None:
    original = Checkpoints.on_train_start

    def begin(self: Checkpoints, *rest) -> None:
        original(self, *rest)
        storage.failing[str(self.folder / "checkpoints" / "best.ckpt")] = "No space left on device"

    monkeypatch.setattr(Checkpoints, "on_train_start", begin)
    storage.failing["of an earlier run"] = "it was full"
    assert run_train(tmp_path / "run", "trainer.max_epochs=1") == 0
    said = [x for x in capsys.readouterr().err.splitlines() if "something is missing of" in x]
    assert len(said) == 1
    assert said[0].endswith("best.ckpt: No space left on device")


@pytest.mark.usefixtures("unlimited")
@pytest.mark.slow
def test_void_rows_that_cannot_be_dropped_end_the_start(
    whole: Path, copy: Path, monkeypatch, status_and_message
) -> None:
    (copy / "result.json").unlink()
    (copy / "checkpoints" / "last.ckpt").unlink()  # so that the last rows are void
    before = (copy / "metrics.csv").read_bytes()

    def refused(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MetricsCSV, "rewrite", refused)
        status, message = status_and_message(resume, copy)
    assert status == 1
    assert f"error: cannot write {copy / 'metrics.csv'}: No space left on device" in message
    assert (copy / "metrics.csv").read_bytes() == before
    assert resume(copy) == 0
    assert_equal_records(whole, copy)


def test_a_journal_keeps_what_the_disk_refuses(tmp_path: Path) -> None:
    journal = storage.Journal(tmp_path / "log")
    journal.write(b"a" * 900)
    journal.flush()
    with largest_file(1000):
        for _ in range(3):
            journal.write(b"b" * 200)
            journal.flush()
            assert (tmp_path / "log").read_bytes() == b"a" * 900  # no half record
    journal.write(b"c")
    journal.flush()
    assert (tmp_path / "log").read_bytes() == b"a" * 900 + b"b" * 600 + b"c"


def test_a_journal_begins_anew_where_its_folder_came_back_empty(tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    journal = storage.Journal(tmp_path / "mount" / "log")
    journal.write(b"a")
    journal.flush()
    shutil.rmtree(tmp_path / "mount")
    journal.write(b"b")
    journal.flush()
    (tmp_path / "mount").mkdir()
    journal.flush()
    assert (tmp_path / "mount" / "log").read_bytes() == b"b"


def test_events_survive_a_full_disk(tmp_path: Path) -> None:
    logger = RunTensorBoard(str(tmp_path))
    logger.log_metrics({"a": 1.0}, step=1)
    with largest_file(1200):
        for step in range(2, 40):
            logger.log_metrics({"a": 1.0}, step=step)
    logger.log_metrics({"a": 1.0}, step=40)
    logger.conclude("finished")
    assert [step for step, tag in sorted(scalars(tmp_path)) if tag == "a"] == [*range(1, 41)]


def test_a_mount_that_vanished_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        checkpoint.save(WHOLE, tmp_path / "mount" / "run" / "checkpoints" / "last.ckpt")
    with pytest.raises(RunError, match="cannot write"):
        write_best(tmp_path / "mount" / "run" / "checkpoints", {"fid": 1.0})
    assert not (tmp_path / "mount").exists()


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize("mount", ["above the run", "the run"])
@pytest.mark.slow
def test_a_run_whose_mount_vanished_fails_and_builds_no_other(
    mount: str, tmp_path: Path, monkeypatch, status_and_message
) -> None:
    run = tmp_path / "mount" / "run"
    original = Checkpoints.on_train_batch_end

    def end(self: Checkpoints, trainer, *rest) -> None:
        if trainer.lightning_module.images_seen == 80:
            place = run if mount == "the run" else run.parent
            place.rename(tmp_path / "away")
            run.parent.mkdir(exist_ok=mount == "the run")  # an empty place is what a mount leaves
            if mount == "the run":
                run.mkdir()
        original(self, trainer, *rest)

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", end)
    status, message = status_and_message(run_train, run, *EVERY_STEP)
    assert status == 1, message
    assert "error: the end of the run is not saved" in message
    assert "last.ckpt is written again" not in message
    assert list(run.parent.rglob("*.ckpt")) == []
    if mount == "above the run":
        assert list(run.parent.iterdir()) == []


def test_a_failed_write_keeps_both_checkpoints(tmp_path: Path) -> None:
    path, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    for step in (1, 2):
        checkpoint.save({**WHOLE, "step": step}, path, previous)
    with largest_file(1000), pytest.raises(RunError, match="File too large"):
        checkpoint.save({**WHOLE, "step": 3}, path, previous)
    assert [checkpoint.load(p)["step"] for p in (path, previous)] == [2, 1]
    assert len(list(tmp_path.iterdir())) == 2


def test_without_hard_links_the_previous_one_is_kept_all_the_same(
    tmp_path: Path, monkeypatch
) -> None:
    def refused(*_) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    path, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    for step in (1, 2):
        checkpoint.save({**WHOLE, "step": step}, path, previous)
    assert [checkpoint.load(p)["step"] for p in (path, previous)] == [2, 1]


def test_other_errors_of_a_callback_are_not_forgiven(tmp_path: Path) -> None:
    def broken(error: Exception) -> None:
        raise error

    call = storage.forgiving("a test", broken)
    with pytest.raises(RunError, match="diverged"):
        call(RunError("diverged"))
    with pytest.raises(ValueError, match="ours"):
        call(ValueError("ours"))


# --- signals and ranks ---------------------------------------------------------------------------


def test_a_second_interrupt_ends_at_once(monkeypatch) -> None:
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    signals = Signals()
    signals.note(signal.SIGTERM, None)
    signals.note(signal.SIGINT, None)
    assert not statuses
    signals.note(signal.SIGINT, None)
    assert statuses == [130]


@pytest.mark.slow
def test_a_signal_after_the_last_step_leaves_a_whole_run(
    whole: Path, tmp_path: Path, monkeypatch
) -> None:
    """It is seen where all ranks meet at the beginning of the end; the run goes on from there."""
    original = Checkpoints.on_train_epoch_end

    def end(self: Checkpoints, trainer, module) -> None:
        original(self, trainer, module)
        if module.images_seen == 256:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_epoch_end", end)
        assert run_train(tmp_path / "run", *EVERY_STEP) == 143
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "interrupted"
    assert resume(tmp_path / "run") == 0
    assert_equal_records(whole, tmp_path / "run")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer"), True),
        (torch.distributed.DistBackendError("NCCL error: remote process exited"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("connection"), False),
    ],
)
def test_only_a_lost_connection_is_blamed_on_a_rank(error: Exception, expected: bool) -> None:
    assert is_of_connection(error) is expected


def test_the_end_of_a_rank_in_words() -> None:
    assert how(-9) == "was killed by SIGKILL"
    assert how(3) == "ended with status 3"


RANKS = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]


def children_of(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_dead_rank_ends_the_others_with_the_reason(victim: int, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "gan_lab.train", f"hydra.run.dir={folder}", *RANKS]
    command += tiny("trainer.max_epochs=100000")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)
    wait_for(folder / "checkpoints" / "last.ckpt", process)
    (other,) = children_of(process.pid)
    os.kill([process.pid, other][victim], signal.SIGKILL)
    status, deadline = process.wait(timeout=60), time.monotonic() + 60
    while alive(other):
        assert time.monotonic() < deadline, "rank 1 goes on"
        time.sleep(0.1)
    said = (tmp_path / "log").read_text()
    assert said.count("error: ") == 1, said
    if victim == 1:
        assert status == 1
        assert f"rank 1 (process {other}) was killed by SIGKILL" in said
        assert "Traceback" not in said
        assert json.loads((folder / "result.json").read_text())["status"] == "failed"
    else:
        assert f"rank 0 (process {process.pid}) is gone" in said
    assert checkpoint.newest(folder / "checkpoints") is not None


@pytest.mark.slow
def test_two_interrupts_end_a_process_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "gan_lab.train", f"hydra.run.dir={folder}"]
    # The first interrupt would wait for this evaluation, which no one has time for.
    command += tiny("trainer.max_epochs=100000", "callbacks.samples.num_images=20000")
    command += ["callbacks.samples.every=16"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(folder / "metrics.csv", process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_diverged_job_of_a_multirun_counts_as_failed(tmp_path: Path) -> None:
    rates = "optimizer.discriminator.lr=1e30,1e-3"
    command = [sys.executable, "-m", "gan_lab.train", "-m", rates, f"hydra.sweep.dir={tmp_path}"]
    command += tiny("trainer.max_epochs=1", "optimizer=sgd", "trainer.log_every_n_steps=2")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "diverged after" in done.stderr
    assert "Traceback" not in done.stderr
    statuses = [json.loads(p.read_text())["status"] for p in tmp_path.glob("*/result.json")]
    assert sorted(statuses) == ["diverged", "finished"]


@pytest.mark.slow
def test_runs_killed_at_random_end_like_others(tmp_path: Path) -> None:
    """`make soak` in short."""
    command = [sys.executable, str(ROOT / "benchmarks" / "soak.py"), "minutes=0.2", "workers=2"]
    command += ["memory=0", "scenarios=one process+two ranks", f"output={tmp_path / 'soak.json'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    records = json.loads((tmp_path / "soak.json").read_text())["records"]
    assert {record["scenario"] for record in records} == {"one process", "two ranks"}
    phases = [phase for record in records for _, phase in record["kills"]]
    assert set(phases) - {"start"}, phases
    assert all(record["wrong"] == [] for record in records)
