"""What a process is spared: page faults of every step, and a library looked for in vain."""

import ctypes
import os
import subprocess
import sys

import pytest
import torch

from gan_lab.launch import hardware

NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"
FAULTS = """
import resource
import torch
from gan_lab.launch import hardware
if {kept}:
    hardware.keep_memory()
def step():
    parts = [torch.ones(2**20) for _ in range(12)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no glibc")
def test_a_step_finds_the_memory_of_the_last_one() -> None:
    counts = []
    for kept in (False, True):
        script = FAULTS.format(kept=kept)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        counts.append(int(done.stdout))
    assert counts[1] < 200 < counts[0]  # 48 MiB a step are 12,288 pages


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    hardware.keep_memory()


@pytest.mark.parametrize("has_gpu", [True, False])
def test_nvml_is_asked_only_where_there_is_a_gpu(
    has_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NVML, "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    hardware.forget_nvml()
    assert (NVML in os.environ) == has_gpu
