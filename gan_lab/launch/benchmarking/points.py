"""The points of the scaling tables, each measured in a process of its own on synthetic images."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import torch
from omegaconf import DictConfig

from gan_lab import RunError
from gan_lab.launch import hardware
from gan_lab.launch.benchmarking.costs import costs
from gan_lab.launch.benchmarking.handloop import HandLoop
from gan_lab.launch.benchmarking.results import Figures
from gan_lab.launch.benchmarking.trials import QUIET, compose, fit
from gan_lab.launch.schema import build
from gan_lab.metrics.features import load_extractor
from gan_lab.metrics.fidelity import fid
from gan_lab.training.rows import read_rows
from gan_lab.training.sampling import generate_images

WARMUP = 8
HOLDOUT = 64
KEYS = {
    "batch_sizes": ["data.batch_size"],
    "widths": ["networks.generator.width", "networks.discriminator.width"],
    "image_sizes": ["data.image_size"],
}


def synthetic(experiment: str, batches: int, *overrides: str, ranks: int = 1) -> list[str]:
    """Overrides: made-up images of the experiment's batch size, enough for so many batches."""
    batch_size = compose(experiment, *overrides).data.batch_size
    count = batches * batch_size * ranks + HOLDOUT
    sizes = [f"data.source.num_images={count}", f"data.holdout={HOLDOUT}"]
    own = (
        []
        if any(o.startswith("data.batch_size=") for o in overrides)
        else [f"data.batch_size={batch_size}"]
    )
    budget = ["trainer.max_epochs=1", "trainer.max_time=null"]
    return ["data=fake", *sizes, *own, *budget, *overrides]


def config_of(experiment: str, batches: int, *overrides: str) -> DictConfig:
    return compose(experiment, *synthetic(experiment, batches, *overrides))


def step(experiment: str, axis: str, value: int, steps: int, overrides: list[str]) -> Figures:
    """Seconds of a step, the memory that training takes, and the counts of an iteration."""
    changed = [f"{key}={value}" for key in KEYS[axis]]
    config = config_of(experiment, WARMUP + steps, *overrides, *changed)
    before = memory("VmRSS")
    seconds = fit(config, warmup=WARMUP).seconds_per_step(WARMUP)
    taken = memory("VmHWM") - before
    _, cost = costs(HandLoop(config))
    return {"seconds": seconds, "memory": taken, "cost": asdict(cost)}


def large(experiment: str, overrides: list[str]) -> Figures:
    """The counts of an iteration on 64x64 colour images, and of one as the experiment has it."""
    size = ["data.image_size=64", "data.channels=3"]
    found: Figures = {}
    for name, changed in (("own", []), ("large", size)):
        config = config_of(experiment, 2, *overrides, *changed)
        _, cost = costs(HandLoop(config))
        found[name] = {**asdict(cost), "batch_size": int(config.data.batch_size)}
    return found


def evaluation(experiment: str, count: int, overrides: list[str]) -> Figures:
    """Seconds to draw so many images, take their features and compute one FID; the memory taken."""
    hardware.spare_overhead()
    before = memory("VmRSS")
    generator = build(compose(experiment, *overrides).networks.generator, "networks.generator")
    extractor = load_extractor()
    reference, _ = extractor.features(generate_images(generator, 500, seed=1))
    start = time.monotonic()
    features, _ = extractor.features(generate_images(generator, count, seed=0))
    fid(reference, features)
    seconds = time.monotonic() - start
    return {"seconds": seconds, "memory": memory("VmHWM") - before}


def processes(
    experiment: str, kind: str, count: int, steps: int, threads: int, overrides: list[str]
) -> Figures:
    """Images per second of ranks of one run, or of jobs at once, which divide the cores.

    All of them on the processor, whatever else there is. Memory is the largest process's own,
    imports included.
    """
    ranks, jobs = (count, 1) if kind == "ranks" else (1, count)
    plain = synthetic(experiment, WARMUP + steps, *overrides, ranks=ranks)
    command = [sys.executable, "-m", "gan_lab.train", f"experiment={experiment}", *QUIET, *plain]
    command += [f"trainer.log_every_n_steps={max(2, steps // 8)}", "logger=csv"]
    command += ["trainer.accelerator=cpu"]
    if ranks > 1:
        command += [f"trainer.devices={ranks}", "trainer.strategy=ddp"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, threads // count))}
    with ExitStack() as stack:
        folders = [
            Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run" for _ in range(jobs)
        ]
        started = [
            subprocess.Popen(
                [*command, f"hydra.run.dir={folder}"],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for folder in folders
        ]
        for process in started:
            _, said = process.communicate()
            if process.returncode:
                raise RunError(f"{count} {kind}: gan_lab.train failed: {said.strip()[-500:]}")
        total = sum(rate_of(folder) for folder in folders)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)  # ranks, too, once they are waited for
    return {"images_per_second": total, "memory": 1024 * children.ru_maxrss}


def rate_of(folder: Path) -> float:
    """Median of the logged rates, without the first rows, which hold the start."""
    rates = [float(r["images_per_second"]) for r in read_rows(folder / "metrics.csv")]
    return statistics.median(rates[2:] or rates)


def memory(line: str) -> int:
    """Bytes of this process: resident now (VmRSS) or at most so far (VmHWM); on a GPU, its own."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() if line == "VmHWM" else 0
    try:
        found = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(text.split()[1]) for text in found if text.startswith(line))
    except (OSError, StopIteration):
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
