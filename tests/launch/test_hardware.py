"""What a machine can do, and what a process is spared: page faults, a library sought in vain."""

import ctypes
import os
import subprocess
import sys

import pytest
import torch

from gan_lab import UserError
from gan_lab.launch import hardware
from gan_lab.launch.assemble import build_optimizers
from tests.conftest import tiny_config

NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"
FAULTS = """
import resource
import torch
from gan_lab import UserError
from gan_lab.launch import hardware
from gan_lab.launch.assemble import build_optimizers
from tests.conftest import tiny_config
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
    # glibc's own threshold, held fast: left to itself it grows with what is freed, and then whether
    # memory goes back to the kernel hangs on what happens to lie above it
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    counts = []
    for kept in (False, True):
        command = [sys.executable, "-c", FAULTS.format(kept=kept)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
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


@pytest.mark.parametrize(
    ("accelerator", "has_gpu", "device"),
    [
        ("auto", False, "cpu"),
        ("cpu", True, "cpu"),
        ("auto", True, "cuda"),
        ("gpu", True, "cuda"),
        ("mps", False, "mps"),
        ("tpu", False, "tpu"),
    ],
)
def test_the_device_of_an_accelerator(
    accelerator: str, has_gpu: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert hardware.device_type(accelerator) == device


@pytest.mark.parametrize(
    ("settings", "device", "fused"),
    [
        ({"fused": "auto"}, "cpu", True),
        ({"fused": "auto"}, "cuda", True),
        ({"fused": "auto"}, "tpu", False),
        ({"fused": "auto", "foreach": True}, "cuda", False),  # torch refuses both at once
        ({"fused": False}, "cuda", False),
        ({"fused": True}, "tpu", True),
        ({"fused": None}, "cpu", None),
    ],
)
def test_one_kernel_for_all_weights(settings: dict, device: str, fused: bool | None) -> None:
    settled = hardware.optimizer({"lr": 0.1, **settings}, "optimizer.generator", device)
    assert settled == {"lr": 0.1, **settings, "fused": fused}


def test_settings_without_such_a_kernel_are_left_alone() -> None:
    assert hardware.optimizer({"lr": 0.1}, "optimizer.generator", "cpu") == {"lr": 0.1}


def test_graphs_capture_steps_on_a_gpu_alone() -> None:
    settings = {"capturable": True}
    assert hardware.optimizer(settings, "optimizer.generator", "cuda") == settings
    with pytest.raises(UserError, match=r"optimizer\.generator\.capturable=true .* is on cpu"):
        hardware.optimizer(settings, "optimizer.generator", "cpu")


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("asked", ["auto", "false"])
def test_what_is_asked_for_reaches_torch(name: str, asked: str) -> None:
    overrides = [f"optimizer={name}", f"optimizer.generator.fused={asked}"]
    built = build_optimizers(tiny_config(*overrides).optimizer, "cpu")["generator"]
    assert built([torch.nn.Parameter(torch.ones(1))]).defaults["fused"] is (asked == "auto")
