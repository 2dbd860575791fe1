"""torch.compile for both players, where a config asks for it and this machine can do it."""

import sys
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from gan_lab import UserError
from gan_lab.launch import hardware
from gan_lab.launch.runs import is_first_rank
from gan_lab.launch.schema import conform
from gan_lab.training.module import GAN

Asked = bool | Literal["default", "reduce-overhead", "max-autotune"]


def compile_players(module: GAN, config: DictConfig) -> None:
    """Have torch compile both networks in place, as `compile` says, at their first batch.

    Weights keep their names, and copies are not compiled. A critic with spectral normalisation is
    not either: each pass changes the vectors that the backward pass of the last one needs.

    Raises:
        UserError: where `compile` is nothing that there is, or this machine cannot compile.
    """
    # A run from before there was the setting has none.
    asked: Any = conform(config.get("compile", False), Asked, "compile")
    if asked is False:
        return
    if is_first_rank():
        require_compiler(asked, first_device(config.trainer))
        if is_spectral(module.discriminator):
            text = "compile: the discriminator stays as it is, for its spectral normalisation"
            print(text, file=sys.stderr, flush=True)
    mode = "default" if asked is True else asked
    module.generator.compile(mode=mode, dynamic=False)  # every batch is of one size
    if not is_spectral(module.discriminator):
        module.discriminator.compile(mode=mode, dynamic=False)
    module.replays_graphs = mode in ("reduce-overhead", "max-autotune")


def is_spectral(network: nn.Module) -> bool:
    return any(isinstance(layer, _SpectralNorm) for layer in network.modules())


def first_device(flags: DictConfig) -> str:
    """The device of rank 0, so that no other GPU is touched."""
    device = hardware.device_type(flags.accelerator)
    if device == "cuda" and OmegaConf.is_list(flags.devices):
        return f"cuda:{flags.devices[0]}"
    return device


def require_compiler(asked: bool | str, device: str) -> None:
    """Compile something small on the device: a step would fail only after the run has begun.

    Raises:
        UserError: with torch's reason, where that fails.
    """
    try:
        torch.compile(double, dynamic=False)(torch.zeros(8, device=device))
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        needs = "a C++ compiler and Python's headers" if device == "cpu" else "triton"
        raise UserError(
            f"compile={str(asked).lower()}: torch cannot compile for {device} here: "
            f"{reason.strip()[:160]}; install {needs}, or use compile=false"
        ) from error


def double(values: Tensor) -> Tensor:
    return values + values
