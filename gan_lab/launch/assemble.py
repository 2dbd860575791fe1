"""From a composed config to objects: data, networks, objective, module, callbacks, trainer."""

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, cast

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, seed_everything
from torch import nn

from gan_lab import UserError
from gan_lab.data.datamodule import ImageData
from gan_lab.launch import hardware
from gan_lab.launch.refusals import Game, refuse
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
    check_networks(generator, discriminator, config)
    objective = build_objective(config, generator, discriminator)
    optimizers = build_optimizers(config.optimizer, config.trainer.accelerator)
    refuse(Game(config, generator, discriminator, objective))
    module = GAN(
        generator,
        discriminator,
        objective,
        optimizers,
        build(config.schedule, "schedule"),
        build(config.ema, "ema"),
        n_critic=conform(config.n_critic, int, "n_critic"),
        clip={k: conform(v, float | None, f"clip.{k}") for k, v in (config.clip or {}).items()},
        seed=config.seed,
    )
    return arranged(module, config.get("memory_format", "auto"))


def arranged(module: GAN, asked: Any) -> GAN:
    """Weights and maps in the memory format asked for; convolutions like their channels last."""
    asked = conform(asked, Literal["auto", "channels_last", "contiguous"], "memory_format")
    chosen = torch.contiguous_format if asked == "contiguous" else torch.channels_last
    parts: Iterable[Any] = module.modules()
    for part in parts:
        if hasattr(part, "memory_format"):
            part.memory_format = chosen
    return module.to(memory_format=chosen)


def build_objective(
    config: DictConfig, generator: nn.Module, discriminator: nn.Module
) -> Objective:
    """Loss, penalties, augmentation, and what the conditioning adds to the critic's task."""
    penalties = {
        name: build(node, f"penalty.{name}") for name, node in (config.penalty or {}).items()
    }
    heads = (config.get("conditioning") or {}).get("heads") or {}
    code = (config.get("conditioning") or {}).get("code") or {}
    if code and getattr(generator, "code", None) is None:
        raise UserError(
            "conditioning has a code, which networks.generator knows nothing of (argument and "
            "attribute code); use conditioning=none, or another of networks="
        )
    known = {"num_features": getattr(discriminator, "num_features", None), **code}
    if heads and known["num_features"] is None:
        raise UserError(
            f"conditioning has the heads {', '.join(heads)}, which work on the features of the "
            "discriminator, and networks.discriminator has none (methods features and judge, "
            "attribute num_features); use conditioning=none, or another of networks="
        )
    built = {
        name: build(node, f"conditioning.heads.{name}", **taken_by(node, known))
        for name, node in heads.items()
    }
    objective = build(config.objective, "objective")
    return Objective(objective, penalties, build(config.augment, "augment"), built)


def taken_by(node: Any, known: dict[str, Any]) -> dict[str, Any]:
    """What of `known` the class of a node takes and the node does not say itself."""
    parameters = inspect.signature(resolve_target(node._target_, "conditioning.heads")).parameters
    return {key: v for key, v in known.items() if key in parameters and key not in node}


def build_optimizers(config: DictConfig, accelerator: Any = "auto") -> dict[str, Any]:
    """Both players' optimizer factories, tried on one parameter so that mistakes show at once."""
    factories, device = {}, hardware.device_type(accelerator)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    for player in ("generator", "discriminator"):
        path = f"optimizer.{player}"
        if isinstance(rate := (config[player] or {}).get("lr"), (int, float)) and rate < 0:
            raise UserError(f"{path}.lr={rate} must be 0 (frozen) or more; 1e-4 to 1e-3 is usual")
        if isinstance(settings := plain[player], dict):
            settings = hardware.optimizer(settings, path, device)
        factories[player] = build(settings, path)
        try:
            factories[player]([nn.Parameter(torch.zeros(1))])
        except (ValueError, TypeError, RuntimeError) as error:
            given = ", ".join(f"{k}={v}" for k, v in config[player].items() if k[0] != "_")
            raise UserError(f"{path}: {error}; change what it names, of {given}") from error
    return factories


@torch.no_grad()
def check_networks(generator: nn.Module, discriminator: nn.Module, config: DictConfig) -> None:
    """Push latents through both networks: the shapes must be those that the data have."""
    shape = tuple(config.data.image_shape)
    packing = getattr(discriminator, "packing", 1)
    if config.data.batch_size % packing:
        raise UserError(
            f"data.batch_size={config.data.batch_size} must be a multiple of "
            f"networks.discriminator.packing={packing}, which judges as many images together"
        )
    modes = generator.training, discriminator.training
    count = 2 * packing
    labels = torch.zeros(count, dtype=torch.long) if config.data.num_classes else None
    images = generator.eval()(torch.zeros(count, cast(int, generator.latent_dim)), labels)
    if tuple(images.shape[1:]) != shape:
        raise UserError(
            f"networks.generator makes images of shape {list(images.shape[1:])}, but "
            f"data.image_shape is {list(shape)}; give it image_shape: ${{data.image_shape}}"
        )
    logits = discriminator.eval()(images, labels)
    if logits.shape != (2,):
        raise UserError(
            f"networks.discriminator returns shape {list(logits.shape)} for {count} images; it "
            f"must return one logit per image (of a pack of {packing}), shape [2]"
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
