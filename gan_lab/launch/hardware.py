"""What this machine can do: devices that a run may ask for, and the precision that pays."""

import ctypes
import os
from typing import Any

import torch

from gan_lab import UserError
from gan_lab.launch import shares

PRECISIONS = ("bf16-mixed", "32-true", "64-true", "bf16", "32", "64", "transformer-engine")

# Where torch's optimizers move all weights by one kernel, and where a graph can capture a step.
FUSED = ("cpu", "cuda", "mps", "xpu")
CAPTURABLE = ("cuda", "xpu")

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's names for its parameters
KEPT, MAPPED = 2**30, 2**28  # bytes


def spare_overhead() -> None:
    """Spare this process two costs of every step that buy nothing; no number depends on them."""
    keep_memory()
    forget_nvml()


def keep_memory() -> None:
    """Let glibc keep the memory that a step frees, up to 1 GiB, for the next step.

    By default it hands large blocks back to the kernel, which clears every page of them again for
    the next step: thousands of page faults each.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # no glibc
    mallopt(TRIM_THRESHOLD, KEPT)
    mallopt(MMAP_THRESHOLD, MAPPED)


def forget_nvml() -> None:
    """Without a GPU, let torch ask the driver for one instead of NVML.

    Lightning sets the variable, because asking the driver spoils a later fork. torch's optimizers
    ask in every step, and each time NVML's library is looked for in vain on the disk.
    """
    if not torch.cuda.is_available():
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)


def precision(asked: Any, accelerator: str) -> Any:
    """`auto` -> bfloat16 where the processor computes in it, else float32.

    Raises:
        UserError: for float16, and for weights of less than 32 bits.
    """
    if str(asked) in ("16", "16-mixed", "16-true", "bf16-true"):
        raise UserError(
            f"trainer.precision={asked} does not suit a GAN: gradient penalties leave float16's "
            "range, and small updates vanish in 16-bit weights; use bf16-mixed, 32-true or auto"
        )
    if asked is not None and str(asked) not in ("auto", *PRECISIONS):
        raise UserError(f"trainer.precision={asked} must be one of auto, {', '.join(PRECISIONS)}")
    if asked != "auto":
        return asked
    if accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.get_device_capability()[0] >= 8 else "32-true"
    if accelerator == "mps" or (accelerator == "auto" and torch.backends.mps.is_available()):
        return "32-true"
    return "bf16-mixed" if cpu_has_bfloat16() else "32-true"


def optimizer(settings: dict[str, Any], path: str, device: str) -> dict[str, Any]:
    """Settings with `fused: auto` settled: one kernel for all weights where the device has it.

    Raises:
        UserError: for another word, and for `capturable` where no graph can capture a step.
    """
    fused = settings.get("fused")
    if isinstance(fused, str) and fused != "auto":
        raise UserError(
            f"{path}.fused={fused} must be true, false, null (torch's choice) or auto (true where "
            "the device has such a kernel)"
        )
    if settings.get("capturable") is True and device not in CAPTURABLE:
        raise UserError(
            f"{path}.capturable=true is for steps that a CUDA graph captures, and this run is on "
            f"{device}; leave it out"
        )
    if fused != "auto":
        return settings
    return {**settings, "fused": device in FUSED and not settings.get("foreach")}


def cpu_has_bfloat16() -> bool:
    """AVX512-BF16 or AMX; without them bfloat16 is emulated, and slower than float32."""
    capabilities = torch.backends.cpu.get_cpu_capability()
    checks = (
        getattr(torch.cpu, "_is_avx512_bf16_supported", None),
        getattr(torch.cpu, "_is_amx_tile_supported", None),
    )
    return "AVX512" in capabilities and any(check() for check in checks if check is not None)


def check_devices(flags: dict[str, Any]) -> None:
    """Refuse more devices than there are before anything is written."""
    asked, accelerator = flags.get("devices"), flags.get("accelerator")
    nodes = flags.get("num_nodes", 1)
    if nodes != 1 and not {"MASTER_ADDR", "SLURM_JOB_ID", "LSB_JOBID"} & os.environ.keys():
        raise UserError(
            f"trainer.num_nodes={nodes}, but nothing here says where the other nodes are: start "
            "the same command on each with MASTER_ADDR, MASTER_PORT and NODE_RANK set, or under "
            "Slurm; or use trainer.num_nodes=1"
        )
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UserError(
            f"trainer.accelerator={accelerator}, but this machine has no usable GPU; "
            "use trainer.accelerator=cpu or auto"
        )
    if isinstance(asked, list) and not on_gpu(flags):
        raise UserError(
            f"trainer.devices={asked} lists GPUs, but this run is on the CPU; use trainer.devices="
            f"{max(len(asked), 1)}"
        )
    count = len(asked) if isinstance(asked, list) else asked
    if not isinstance(count, int) or isinstance(count, bool):
        return
    if count < 1 and count != -1:
        raise UserError(f"trainer.devices={asked} must be at least 1, -1 for all, or auto")
    if not on_gpu(flags):
        check_processes(count, flags)
    elif count > torch.cuda.device_count():
        raise UserError(
            f"trainer.devices={asked}, but this machine has {torch.cuda.device_count()} GPUs"
        )


def device_type(accelerator: Any) -> str:
    """What torch calls the device that Lightning chooses for an `accelerator` on this machine."""
    if on_gpu({"accelerator": accelerator}):
        return "cuda"
    if accelerator == "mps" or (accelerator == "auto" and torch.backends.mps.is_available()):
        return "mps"
    return "cpu" if accelerator == "auto" else str(accelerator)


def on_gpu(flags: dict[str, Any]) -> bool:
    accelerator = flags.get("accelerator")
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())


def count_devices(flags: dict[str, Any]) -> int:
    """The devices of this node that the flags ask for."""
    asked = flags.get("devices")
    if isinstance(asked, list):
        return len(asked)
    if asked in ("auto", -1, "-1"):
        return torch.cuda.device_count() if on_gpu(flags) else 1
    return int(str(asked)) if str(asked).isdigit() else 1


def check_processes(count: int, flags: dict[str, Any]) -> None:
    """On the CPU a device is a process, which only pays where each has a core."""
    if count <= 1:
        return
    cores = shares.count_cores()
    if flags.get("strategy") == "auto" and flags.get("accelerator") == "auto":
        raise UserError(
            f"trainer.devices={count}, but this machine has no GPU; for {count} processes on the "
            f"CPU say trainer.accelerator=cpu trainer.devices={count} trainer.strategy=ddp"
        )
    if count > cores:
        raise UserError(
            f"trainer.devices={count}, but this machine has {cores} CPU cores; "
            f"use trainer.devices={cores} or less"
        )
