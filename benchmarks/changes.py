"""What each change to the cost of a step brought, measured against its absence in one run.

  python benchmarks/changes.py                    the default, the short race and the MLP
  python benchmarks/changes.py speedrun_mnist 60  one experiment, steps of a round

The loop by hand (gan_lab/launch/benchmarking/handloop.py) with a change and without it, in
alternating rounds of one process; the ratio is taken pair by pair. What a setting changes is two
loops, one of each. Page faults are counted in processes of their own, since memory that is kept
once stays.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch

from gan_lab.launch.benchmarking.handloop import HandLoop
from gan_lab.launch.benchmarking.trials import compose, without_end

ROUNDS = 10
THREADS = torch.get_num_threads()
FUSED = ("optimizer.generator.fused", "optimizer.discriminator.fused")
SETTINGS = {  # what a run had without them, and has
    "channels_last": (["memory_format=contiguous"], ["memory_format=channels_last"]),
    "fused_optimizers": ([f"{key}=false" for key in FUSED], [f"{key}=true" for key in FUSED]),
}
NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"
FAULTS = """
import resource, sys
from gan_lab.launch import hardware
from gan_lab.launch.benchmarking.handloop import HandLoop
from gan_lab.launch.benchmarking.trials import compose, without_end
name, steps, kept = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if kept == "given back":
    hardware.keep_memory = lambda: None
loop = HandLoop(compose(name, *without_end()))
loop.seconds_per_step(20, 1)
before = resource.getrusage(resource.RUSAGE_SELF)
seconds = loop.seconds_per_step(0, steps)
after = resource.getrusage(resource.RUSAGE_SELF)
faults, system = after.ru_minflt - before.ru_minflt, after.ru_stime - before.ru_stime
print(f"{name}, memory {kept}: {1e3 * seconds:.2f} ms, {faults / steps:.0f} page faults and "
      f"{1e3 * system / steps:.2f} ms of system time a step", flush=True)
"""


def one_pass(loop: HandLoop, on: bool) -> None:
    """Real and fake images through the discriminator together."""
    discriminator: Any = loop.module.discriminator
    discriminator.solitary = on


def without_nvml(loop: HandLoop, on: bool) -> None:
    """torch's optimizers ask the driver for a GPU, and do not look for NVML."""
    os.environ.pop(NVML, None) if on else os.environ.update({NVML: "1"})


def in_bfloat16(loop: HandLoop, on: bool) -> None:
    loop.bfloat16 = on


def all_threads(loop: HandLoop, on: bool) -> None:
    torch.set_num_threads(THREADS if on else 1)


def compare(experiment: str, change: Callable[[HandLoop, bool], None], steps: int) -> None:
    """One loop, changed and changed back."""
    loop = HandLoop(compose(experiment, *without_end()))

    def seconds(on: bool) -> float:
        change(loop, on)
        return loop.seconds_per_step(3, steps)

    alternate(f"{experiment}, {change.__name__}", seconds)
    change(loop, True)


def compare_setting(experiment: str, setting: str, steps: int) -> None:
    """Two loops, one without the setting and one with it."""
    loops = [HandLoop(compose(experiment, *given, *without_end())) for given in SETTINGS[setting]]
    alternate(f"{experiment}, {setting}", lambda on: loops[on].seconds_per_step(3, steps))


def alternate(what: str, seconds_per_step: Callable[[bool], float]) -> None:
    """Print the medians without (False) and with (True), and their ratio pair by pair."""
    pairs = [(seconds_per_step(False), seconds_per_step(True)) for _ in range(ROUNDS)]
    ratios = [new / old for old, new in pairs]
    old, new = (1e3 * statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    print(
        f"{what}: {old:.2f} -> {new:.2f} ms, ratio "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
        flush=True,
    )


if __name__ == "__main__":
    names = sys.argv[1:2] or ["dcgan_mnist", "speedrun_mnist", "mlp_mnist"]
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    for name in names:
        for kept in ("given back", "kept"):
            subprocess.run([sys.executable, "-c", FAULTS, name, str(steps), kept], check=True)
        for change in (without_nvml, one_pass, in_bfloat16, all_threads):
            compare(name, change, steps)
        for setting in SETTINGS:
            compare_setting(name, setting, steps)
