"""From a composed config to objects: data, networks, objective, module, callbacks, trainer."""

import inspect
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, seed_everything
from torch import nn

from gan_lab import UserError
from gan_lab.data.datamodule import ImageData
from gan_lab.launch.runs import is_first_rank
from gan_lab.launch.schema import build, conform
from gan_lab.launch.trust import resolve_target
from gan_lab.objectives.objective import Objective
from gan_lab.training.module import GAN


def build_data(config: DictConfig) -> ImageData:
    data = build(config.data, "data")
    data.check()
    return data


def build_module(config: DictConfig) -> GAN:
    """Build both networks from the run's seed, check that they fit the data, bind the objective."""
    if not 0 <= conform(config.seed, int, "seed") < 2**32:
        raise UserError(f"seed={config.seed} must lie between 0 and {2**32 - 1}")
    seed_everything(config.seed, verbose=False)
    generator = build(config.networks.generator, "networks.generator")
    discriminator = build(config.networks.discriminator, "networks.discriminator")
    check_networks(generator, discriminator, tuple(config.data.image_shape))
    penalties = {
        name: build(node, f"penalty.{name}") for name, node in (config.penalty or {}).items()
    }
    objective = Objective(
        build(config.objective, "objective"), penalties, build(config.augment, "augment")
    )
    return GAN(
        generator,
        discriminator,
        objective,
        build_optimizers(config.optimizer),
        build(config.schedule, "schedule"),
        build(config.ema, "ema"),
        n_critic=conform(config.n_critic, int, "n_critic"),
        clip={k: conform(v, float | None, f"clip.{k}") for k, v in (config.clip or {}).items()},
        seed=config.seed,
    ).to(memory_format=torch.channels_last)


def build_optimizers(config: DictConfig) -> dict[str, Any]:
    """Both players' optimizer factories, tried on one parameter so that mistakes show at once."""
    factories = {}
    for player in ("generator", "discriminator"):
        path = f"optimizer.{player}"
        if isinstance(rate := (config[player] or {}).get("lr"), (int, float)) and rate < 0:
            raise UserError(f"{path}.lr={rate} must be 0 (frozen) or more; 1e-4 to 1e-3 is usual")
        factories[player] = build(config[player], path)
        try:
            factories[player]([nn.Parameter(torch.zeros(1))])
        except (ValueError, TypeError, RuntimeError) as error:
            given = ", ".join(f"{k}={v}" for k, v in config[player].items() if k[0] != "_")
            raise UserError(f"{path}: {error}; change what it names, of {given}") from error
    return factories


@torch.no_grad()
def check_networks(generator: nn.Module, discriminator: nn.Module, shape: tuple[int, ...]) -> None:
    """Push two latents through both networks: the shapes must be those that the data have."""
    modes = generator.training, discriminator.training
    images = generator.eval()(torch.zeros(2, cast(int, generator.latent_dim)), None)
    if tuple(images.shape[1:]) != shape:
        raise UserError(
            f"networks.generator makes images of shape {list(images.shape[1:])}, but "
            f"data.image_shape is {list(shape)}; give it image_shape: ${{data.image_shape}}"
        )
    logits = discriminator.eval()(images, None)
    if logits.ndim != 1:
        raise UserError(
            f"networks.discriminator returns shape {list(logits.shape)} for 2 images; it must "
            "return one logit per image, shape [N]"
        )
    generator.train(modes[0]), discriminator.train(modes[1])


def build_callbacks(config: DictConfig) -> list[Callback]:
    nodes = {name: node for name, node in (config.callbacks or {}).items() if node is not None}
    return [build(node, f"callbacks.{name}") for name, node in nodes.items()]


def build_loggers(config: DictConfig, folder: Path, purge_step: int | None) -> list[Any] | bool:
    """The loggers of `logger`, writing into the run folder; `trainer.logger=false` wins."""
    if config.trainer.logger is False or not is_first_rank():
        return False
    extra = {"save_dir": str(folder), "purge_step": purge_step}
    built = []
    for name, node in (config.logger or {}).items():
        target = resolve_target(node._target_, f"logger.{name}")
        known = inspect.signature(target).parameters  # Lightning's own loggers know no purge_step
        taken = {key: value for key, value in extra.items() if key in known}
        built.append(build(node, f"logger.{name}", **taken))
    return built
