"""Kill runs at random moments, resume them, and compare what they leave with runs left alone.

  python benchmarks/soak.py                          10 minutes, two runs at once
  python benchmarks/soak.py minutes=60 seed=1 output=soak.json

Each session is `gan_lab.train` from its arguments to its exit status, as a command has it: its own
process with its own config, data, lock, checkpoints and signals. One thing differs: it is forked
from a process that has imported everything, and so are its ranks, since the imports of a command
would take most of the time. The runs left alone are real commands (python -m gan_lab.train).

A session is ended by SIGKILL (of rank 0, of another rank, or of all), SIGTERM or SIGINT after a
time drawn evenly from the length of a whole run; one in three waits on for a rare moment: a
checkpoint's write, an evaluation, the end. Compared are hashes of weights, optimizers, counters,
best checkpoint, sample grids, metrics.csv and TensorBoard's events, columns of clocks aside.
Status 1 where anything differs, hangs, or ends with a status that it should not have.
"""

import contextlib
import csv
import ctypes
import faulthandler
import hashlib
import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util

from gan_lab.launch import assemble, fit, runs
from gan_lab.launch.entry import compose_run, guarded
from gan_lab.metrics.features import FeatureNet, find_weights, save_extractor
from gan_lab.train import train
from gan_lab.training import checkpoint
from gan_lab.training.callbacks.evaluation import Evaluation
from gan_lab.training.distributed import RankLauncher
from gan_lab.training.module import GAN

CLOCKS = {"seconds", "images_per_second"}
UNSEEN = ("_", "verdict/text")  # of the comparison: what the HPARAMS tab reads, and prose
TINY = ["data=fake", "data.source.num_images=224", "data.holdout=32", "data.batch_size=16"]
TINY += ["networks.generator.width=4", "networks.discriminator.width=4", "trainer.max_epochs=6"]
TINY += [
    "trainer.precision=32-true",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
]
TINY += ["trainer.log_every_n_steps=5", "callbacks.evaluation.num_images=40"]
GAME = ["n_critic=2", "penalty.r1.interval=3"]
OFTEN = ["callbacks.evaluation.every=96", "callbacks.samples.every=160"]
OFTEN += ["callbacks.health.every=200", "callbacks.health.num_images=32"]
RANKS = ["trainer.devices=2", "trainer.strategy=ddp"]
SCENARIOS = {
    "one process": [*GAME, *OFTEN, "callbacks.checkpoints.minutes=0.0005"],
    "epochs only": [*OFTEN, "callbacks.checkpoints.minutes=null"],
    "two ranks": [*GAME, *OFTEN, *RANKS, "callbacks.checkpoints.minutes=0.001"],
}
PHASES = ("start", "step", "evaluation", "write", "end")
RARE = ("write", "evaluation", "end")
STATUSES = {  # what a session may end with, besides 0 where it was finished before the signal
    signal.SIGKILL: {-signal.SIGKILL, 1},  # 1: another rank was killed
    signal.SIGTERM: {143},
    signal.SIGINT: {130},
}
PATIENCE = 60.0  # seconds that a session may take to end after its signal

moment = mmap.mmap(-1, 1)  # the phase that rank 0 is in; forked processes share it


def mark(owner: Any, name: str, phase: str) -> None:
    """Let a function tell in which phase the run is."""
    function = getattr(owner, name)

    def marked(*args: Any, **kwargs: Any) -> Any:
        before = moment[0]
        if runs.is_first_rank():
            moment[0] = PHASES.index(phase)
        try:
            return function(*args, **kwargs)
        finally:
            if runs.is_first_rank():
                moment[0] = before

    setattr(owner, name, marked)


class Forked:
    """A forked process with the manners of `subprocess.Popen`."""

    def __init__(self, work: Callable[[], int]) -> None:
        sys.stdout.flush(), sys.stderr.flush()
        self.returncode: int | None = None
        self.lock = threading.Lock()
        self.pid = os.fork()
        if self.pid == 0:
            status = 70
            try:
                status = work()
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                os._exit(status)

    def poll(self) -> int | None:
        with self.lock:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def wait(self, timeout: float = PATIENCE) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(["forked"], timeout)
            time.sleep(0.002)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def session(arguments: list[str], log: Path) -> int:
    """What a forked process does: a whole `gan-train`, in a process group of its own."""
    os.setpgid(0, 0)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1), os.dup2(handle, 2)
    sys.argv = ["train", *arguments]
    faulthandler.dump_traceback_later(PATIENCE - 10, file=2)  # where a session hangs
    return guarded("train", train, arguments)


def fork_ranks(launcher: RankLauncher) -> None:
    """Stands in for the launcher's own commands."""
    environment = launcher.cluster_environment
    os.environ |= {"MASTER_ADDR": environment.main_address, "LOCAL_RANK": "0", "NODE_RANK": "0"}
    os.environ |= {"MASTER_PORT": str(environment.main_port)}
    os.environ |= {"WORLD_SIZE": str(launcher.num_processes)}

    def work() -> int:
        os.environ["LOCAL_RANK"] = "1"
        for name in os.listdir("/proc/self/fd"):  # a command would not inherit the lock
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}").endswith("/.lock"):
                    os.close(int(name))
        return guarded("train", train, sys.argv[1:])

    launcher.procs = [Forked(work)]  # type: ignore[list-item]


def prepare() -> None:
    """Whoever forks sessions: phases are marked, ranks are forked, orphans come to us."""
    mark(GAN, "training_step", "step")
    mark(Evaluation, "evaluate", "evaluation")
    mark(checkpoint, "save", "write")
    mark(fit, "conclude", "end")
    mark(Evaluation, "on_train_end", "end")
    RankLauncher._call_children_scripts = fork_ranks  # type: ignore[method-assign]
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def start(arguments: list[str], log: Path) -> Forked:
    moment[0] = 0
    process = Forked(lambda: session(arguments, log))
    with contextlib.suppress(OSError):  # whichever of both is first
        os.setpgid(process.pid, process.pid)
    return process


def end_of(process: Forked) -> tuple[int | None, bool]:
    """Exit status of the first process, and whether it and its ranks ended in time."""
    deadline, status = time.monotonic() + PATIENCE, None
    while time.monotonic() < deadline:
        try:
            pid, code = os.waitpid(-process.pid, os.WNOHANG)
        except ChildProcessError:
            return status, True
        if pid == process.pid:
            status = process.returncode = os.waitstatus_to_exitcode(code)
        time.sleep(0.002 if not pid else 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return status, False


def kill_at_random(process: Forked, chance: random.Random, length: float) -> tuple[int, str] | None:
    """Wait, then end the session somehow; the signal and the phase, None where it was faster."""
    due = time.monotonic() + chance.uniform(0, 0.8 * length)
    aim = PHASES.index(chance.choice(RARE)) if chance.random() < 1 / 3 else None
    while time.monotonic() < due or (aim is not None and moment[0] != aim):
        if process.poll() is not None:
            return None
        time.sleep(0.0005)
    phase = PHASES[moment[0]]
    number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    with contextlib.suppress(ProcessLookupError):
        strike(process.pid, number, chance)
        return number, phase
    return None


def strike(first: int, number: int, chance: random.Random) -> None:
    """All ranks at once, as a terminal or a power failure does, or one of them alone."""
    children = Path(f"/proc/{first}/task/{first}/children")
    others = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    victim = chance.choice(["all", "first", "other"])
    if victim == "first" or not others:
        os.kill(first, number)
    elif victim == "other" and number == signal.SIGKILL:
        os.kill(others[0], number)
    else:
        os.killpg(first, number)


def run_with_kills(
    name: str, folder: Path, chance: random.Random, length: float, deadline: float
) -> dict[str, Any]:
    """One run, killed until it is finished or time is up, then left to finish.

    On a slow machine, too, it is killed once after its start.
    """
    record: dict[str, Any] = {"scenario": name, "kills": [], "wrong": []}
    log = folder.with_suffix(".log")
    while True:
        known = (folder / "config.yaml").exists()
        new = [f"hydra.run.dir={folder}", *TINY, *SCENARIOS[name]]
        process = start([f"resume={folder}"] if known else new, log)
        early = all(phase == "start" for _, phase in record["kills"])
        killed = early or time.monotonic() < deadline
        hit = kill_at_random(process, chance, length) if killed else None
        status, in_time = end_of(process) if process.returncode is None else (None, True)
        status = process.returncode if status is None else status
        if hit:
            record["kills"].append([signal.Signals(hit[0]).name, hit[1]])
        if not in_time:
            record["wrong"].append(f"a session did not end within {PATIENCE:.0f} s of {hit}")
        if not may_end_with(status, hit):
            record["wrong"].append(f"status {status} after {hit}")
        if record["wrong"] or (status == 0 and runs.read_result(folder)["status"] == "finished"):
            return record


def may_end_with(status: int | None, hit: tuple[int, str] | None) -> bool:
    """Whether a session may end so after its signal; 0 where it was finished before it."""
    if status == 0 or hit is None:
        return status == 0
    # Before training and after it signals have their usual effect, and ranks need not agree; a
    # shell calls an end by SIGTERM 143, whoever brought it about.
    usual = {1, -hit[0]} if hit[1] in ("start", "end") else set()
    return status in STATUSES[signal.Signals(hit[0])] | usual


def digests(folder: Path) -> dict[str, Any]:
    """What a run left, as hashes; equal for equal runs, whatever their clocks."""
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    pictures = sorted(folder.glob("samples/*"))
    found = {key: digest(last[key]) for key in ("state_dict", "optimizer_states", "progress")}
    found |= {"steps": [last["epoch"], last["global_step"]], "best": digest(best["state_dict"])}
    found["samples"] = {p.name: digest(p.read_bytes()) for p in pictures}
    for name in ("evolution.png", "evolution.gif", "checkpoints/best.json", "health.json"):
        found[name] = digest((folder / name).read_bytes())
    with (folder / "metrics.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k not in CLOCKS} for row in csv.DictReader(file)]
    found["metrics.csv"] = {i: digest(sorted(row.items())) for i, row in enumerate(rows)}
    found["events"] = dict(Counter(events(folder)))  # a duplicate counts 2
    found["left behind"] = sorted(p.name for p in folder.rglob(".*") if p.name != ".lock")
    return found


def events(folder: Path) -> Iterator[str]:
    """Every scalar and picture of all event files, whether TensorBoard would show it or not."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                array = tensor_util.make_ndarray(value.tensor)
                if array.size and value.tag not in CLOCKS and not value.tag.startswith(UNSEEN):
                    yield f"{value.tag} at {event.step}: {digest(array.tolist())}"


def digest(thing: Any) -> str:
    """A hash of bytes, or of containers of tensors and plain values."""
    hashed = hashlib.sha256()

    def feed(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            hashed.update(f"{part.dtype}{tuple(part.shape)}".encode())
            hashed.update(part.contiguous().numpy().tobytes())
        elif isinstance(part, dict):
            [feed(pair) for pair in part.items()]
        elif isinstance(part, list | tuple):
            [feed(entry) for entry in part]
        else:
            hashed.update(part if isinstance(part, bytes) else f"{part!r};".encode())

    feed(thing)
    return hashed.hexdigest()[:16]


def differences(whole: Any, parts: Any, place: str = "") -> list[str]:
    """Where two digests differ, in words."""
    if not isinstance(whole, dict):
        return [] if whole == parts else [f"{place}: {whole} became {parts}"]
    keys = [*whole, *(key for key in parts if key not in whole)]
    pairs = [(f"{place} {key}".strip(), whole.get(key), parts.get(key)) for key in keys]
    return [line for where, a, b in pairs for line in differences_or_missing(a, b, where)]


def differences_or_missing(whole: Any, parts: Any, place: str) -> list[str]:
    if (whole is None) != (parts is None):
        return [f"{place}: {'missing' if parts is None else 'too much'}"]
    return differences(whole, parts, place)


def reference(name: str, folder: Path) -> tuple[dict[str, Any], float]:
    """The digests of a run left alone, a real command, and the seconds that a forked one takes."""
    overrides = [*TINY, *SCENARIOS[name]]
    command = [sys.executable, "-m", "gan_lab.train", f"hydra.run.dir={folder}", *overrides]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    forked, began = folder.with_name(f"{folder.name}_forked"), time.monotonic()
    status, _ = end_of(start([f"hydra.run.dir={forked}", *overrides], forked.with_suffix(".log")))
    length = time.monotonic() - began
    assert status == 0, forked.with_suffix(".log").read_text()
    wrong = differences(digests(folder), digests(forked))
    assert not wrong, f"a forked run is not what a command is: {wrong}"
    return digests(folder), length


def work(
    root: Path, number: int, options: dict[str, Any], references: dict[str, Any], deadline: float
) -> int:
    """One worker: run after run until time is up; a line of JSON for each in its file."""
    chance, names = random.Random(f"{options['seed']} {number}"), list(references)
    for i in range(number, 1_000_000):
        if time.monotonic() > deadline:
            return 0
        name = names[i % len(names)]
        expected, length = references[name]
        folder = root / f"worker_{number}" / f"run_{i}"
        folder.parent.mkdir(exist_ok=True)
        record = run_with_kills(name, folder, chance, length, deadline)
        if not record["wrong"]:
            record["wrong"] = differences(expected, digests(folder))
        with (root / f"worker_{number}.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(line(record), flush=True)
        if record["wrong"]:
            print(f"  kept in {folder}, what it said in {folder.with_suffix('.log')}", flush=True)
        else:
            shutil.rmtree(folder)
    return 0


def line(record: dict[str, Any]) -> str:
    hits = ", ".join(f"{signal_name} in {phase}" for signal_name, phase in record["kills"])
    verdict = "identical" if not record["wrong"] else "WRONG: " + "; ".join(record["wrong"][:4])
    return f"{record['scenario']}: {len(record['kills'])} kills ({hits}): {verdict}"


def memory(root: Path) -> dict[str, float]:
    """Resident MiB over 10,000 steps with everything on: early (step 1,000), last, peak."""
    long = ["data.source.num_images=8032", "networks=mlp", "networks.generator.hidden=[16]"]
    long += ["networks.discriminator.hidden=[16]", "trainer.max_epochs=20", *OFTEN]
    long += ["callbacks.samples.every=8000", "callbacks.evaluation.every=8000", *GAME]
    long += ["callbacks.health.every=8000", "trainer.log_every_n_steps=50"]
    plain = [entry for entry in TINY if not entry.startswith(("networks", "trainer.max_epochs"))]
    arguments = [f"hydra.run.dir={root / 'memory'}", *plain, *long]
    readings = root / "memory.txt"
    step = GAN.training_step

    def watched(module: GAN, batch: Any, batch_idx: int) -> None:
        step(module, batch, batch_idx)
        if module.discriminator_updates % 100 == 0:
            with readings.open("a") as file:
                file.write(f"{resident()}\n")

    GAN.training_step = watched  # type: ignore[method-assign]
    status = start(arguments, root / "memory.log").wait(timeout=900.0)
    GAN.training_step = step  # type: ignore[method-assign]
    assert status == 0, (root / "memory.log").read_text()
    values = [float(text) for text in readings.read_text().split()]
    return {"steps": 100 * len(values), "early": values[9], "last": values[-1], "peak": max(values)}


def resident() -> float:
    """MiB of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def extractor(root: Path) -> None:
    """Weights for the evaluation to measure with; any will do, if they are always the same."""
    config, _ = compose_run("train", TINY)
    torch.manual_seed(0)
    weights = find_weights(assemble.build_data(config))
    save_extractor(FeatureNet().eval(), weights, {"image_shape": [1, 28, 28]})


def summary(records: list[dict[str, Any]], measured: dict[str, float] | None) -> str:
    lines = ["", "| scenario | runs | kills | " + " | ".join(PHASES) + " | wrong |"]
    lines.append("|---" * (4 + len(PHASES)) + "|")
    for name in SCENARIOS:
        mine = [r for r in records if r["scenario"] == name]
        hits = Counter(phase for r in mine for _, phase in r["kills"])
        counts = [len(mine), sum(hits.values()), *(hits[p] for p in PHASES)]
        counts.append(sum(bool(r["wrong"]) for r in mine))
        lines.append(f"| {name} | " + " | ".join(map(str, counts)) + " |")
    if measured:
        words = ", ".join(f"{k} {v:,.0f}" for k, v in measured.items() if k != "steps")
        lines.append(f"\nresident MiB over {measured['steps']:,} steps: {words}")
    return "\n".join(lines)


def main(options: dict[str, Any]) -> int:
    root = Path(tempfile.mkdtemp(prefix="gan_lab_soak_"))
    os.environ["GAN_LAB_DATA"] = str(root / "data")
    prepare()
    extractor(root)
    chosen = options["scenarios"].split("+") if options["scenarios"] else list(SCENARIOS)
    measured = memory(root) if options["memory"] else None
    references = {name: reference(name, root / name.replace(" ", "_")) for name in chosen}
    print({name: f"{length:.1f} s" for name, (_, length) in references.items()}, flush=True)
    deadline = time.monotonic() + 60 * options["minutes"]
    workers = [
        Forked(lambda n=n: worker(root, n, options, references, deadline))  # type: ignore[misc]
        for n in range(options["workers"])
    ]
    for process in workers:
        assert process.wait(timeout=60 * options["minutes"] + 900) == 0, "a worker failed"
    files = root.glob("worker_*.jsonl")
    records = [json.loads(text) for file in files for text in file.read_text().splitlines()]
    print(summary(records, measured))
    result = {"records": records, "memory": measured, "seed": options["seed"]}
    if options["output"]:
        Path(options["output"]).write_text(json.dumps(result, indent=2) + "\n")
    grown = measured is not None and measured["last"] > 1.03 * measured["early"] + 5
    wrong = grown or any(record["wrong"] for record in records)
    if not wrong:
        shutil.rmtree(root)
    return int(wrong)


def worker(root: Path, number: int, *rest: Any) -> int:
    """A process of its own for each, with its own mark of the moment and its own orphans."""
    global moment
    moment = mmap.mmap(-1, 1)
    ctypes.CDLL(None).prctl(36, 1)
    return work(root, number, *rest)


def read_options(arguments: list[str]) -> dict[str, Any]:
    """minutes=, workers=, seed=, scenarios=A+B, memory=0, output=FILE."""
    options: dict[str, Any] = {"minutes": 10.0, "workers": 2, "seed": 0, "memory": 1}
    options |= {"scenarios": "", "output": ""}
    for argument in arguments:
        key, _, value = argument.partition("=")
        options[key] = type(options[key])(value)
    return options


if __name__ == "__main__":
    sys.exit(main(read_options(sys.argv[1:])))
