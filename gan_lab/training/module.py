"""The adversarial game on Lightning: which player moves when, and nothing else."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_lab import UserError
from gan_lab.data.seeds import mix
from gan_lab.objectives.objective import Objective
from gan_lab.training import budget, distributed, measures
from gan_lab.training.ema import EMA, average_of

Batch = tuple[Tensor, Tensor]  # images float32 [N, C, H, W] in [-1, 1], labels int64 [N]
Optimizers = tuple[LightningOptimizer, LightningOptimizer]  # discriminator's, generator's
OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


class GAN(LightningModule):
    """Alternate discriminator and generator updates by manual optimization.

    A batch is one discriminator update; every `n_critic`-th batch also updates the generator, on
    the same fakes: one forward pass serves both players, since either one's gradient is taken at
    weights and latents that the other's update does not touch.

    Args:
        generator: latents [N, Z], labels [N] or None -> images [N, C, H, W] in [-1, 1].
        discriminator: images, labels or None -> logits [N].
        objective: both players' terms.
        optimizers: "generator" and "discriminator" -> parameters -> optimizer.
        schedule: progress through the budget in [0, 1] -> factor on both learning rates.
        ema: how `generator_ema`, the network that samples are drawn from, follows the generator.
        n_critic: discriminator updates for each one of the generator.
        clip: "generator" and "discriminator" -> largest gradient norm, or None.
        seed: all random numbers of a step are a function of (seed, epoch, batch, rank).
    """

    memory_format = torch.channels_last  # of weights and images

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        optimizers: dict[str, OptimizerFactory],
        schedule: Callable[[float], float],
        ema: EMA,
        n_critic: int = 1,
        clip: dict[str, float | None] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_arguments(n_critic, clip or {})
        self.automatic_optimization = False
        self.generator = generator
        self.discriminator = discriminator
        self.generator_ema = average_of(generator)
        self.objective = objective
        self.optimizer_factories = optimizers
        self.schedule = schedule
        self.ema = ema
        self.n_critic = n_critic
        self.clip = clip or {}
        self.seed = seed
        self.images_seen = 0  # real images shown to the discriminator, over all ranks
        self.discriminator_updates = 0
        self.generator_updates = 0
        self.recent: dict[str, Tensor] = {}  # each term's last value: some are not due every step
        self.stopwatch = measures.Stopwatch()
        self.replays_graphs = False  # CUDA graphs, of compiled networks

    def configure_optimizers(self) -> list[Optimizer]:
        optimizers = [self.optimizer_factories[name](p) for name, p in self.players.items()]
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        return optimizers

    @cached_property
    def players(self) -> dict[str, list[nn.Parameter]]:
        """What each player's optimizer moves; the objective's heads side with the discriminator."""
        heads = self.objective.heads.parameters()
        return {
            "discriminator": [*self.discriminator.parameters(), *heads],
            "generator": list(self.generator.parameters()),
        }

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        if self.replays_graphs:  # what they return lasts until the next step begins
            torch.compiler.cudagraph_mark_step_begin()
        real, labels = self.arranged(batch[0]), batch[1]
        seed_step(mix(self.seed, self.current_epoch, batch_idx, self.global_rank), real.device)
        generator_moves = (self.discriminator_updates + 1) % self.n_critic == 0
        self.apply_schedule()
        latent_dim = cast(int, self.generator.latent_dim)
        latents = torch.randn(len(real), latent_dim, device=real.device)
        with torch.set_grad_enabled(generator_moves):
            fake = self.generator(latents, labels)
        code = self.code_of(latents)
        measured = self.update_discriminator(real, fake.detach(), labels, code)
        if generator_moves:
            measured |= self.update_generator(real, fake, labels, code)
        self.count(len(real), generator_moves)
        if self.is_logging:
            measures.publish(self, measured | self.recent)

    def arranged(self, images: Tensor) -> Tensor:
        """Images as the weights lie in memory; they come channels last (and points as points)."""
        if self.memory_format == torch.channels_last:
            return images
        return images.clone(memory_format=self.memory_format)

    def code_of(self, latents: Tensor) -> Any:
        """What a head is to recover of the latents; None without a code."""
        code = getattr(self.generator, "code", None)
        return None if code is None else code.targets(latents)

    def update_discriminator(
        self, real: Tensor, fake: Tensor, labels: Tensor, code: Any
    ) -> dict[str, Tensor]:
        optimizer, _ = cast(Optimizers, self.optimizers())
        optimizer.zero_grad()
        terms, real_logits, fake_logits = self.objective.discriminator_terms(
            self.discriminator, real, fake, labels, self.round(optimizer), code
        )
        measured = self.step("discriminator", optimizer, terms)
        self.objective.constrain(self.discriminator)
        self.discriminator_updates += 1
        if self.is_logging:
            measured |= measures.of_logits(self.objective.loss, real_logits, fake_logits)
        return measured

    def round(self, optimizer: LightningOptimizer) -> int:
        """The update that this is; a lookahead and the update that it serves are one."""
        return self.discriminator_updates // batches_per_update(optimizer.optimizer)

    def update_generator(
        self, real: Tensor, fake: Tensor, labels: Tensor, code: Any
    ) -> dict[str, Tensor]:
        _, optimizer = cast(Optimizers, self.optimizers())
        optimizer.zero_grad()
        with frozen(self.discriminator), frozen(self.objective.heads):
            terms = self.objective.generator_terms(self.discriminator, real, fake, labels, code)
            measured = self.step("generator", optimizer, terms)
        self.generator_updates += 1
        return measured

    def step(
        self, name: str, optimizer: LightningOptimizer, terms: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Descend on the sum of the terms; return what is to be logged of it."""
        parameters = self.players[name]
        self.manual_backward(torch.stack(list(terms.values())).sum())
        distributed.average_gradients(self.trainer, parameters)
        measured = measures.of_gradients(name, parameters) if self.is_logging else {}
        if (bound := self.clip.get(name)) is not None:
            nn.utils.clip_grad_norm_(parameters, bound)
        optimizer.step()
        self.recent |= {f"{name}/{key}": term.detach() for key, term in terms.items()}
        return measured

    def apply_schedule(self) -> None:
        progress = budget.progress(self.trainer, self.images_seen)
        self.objective.at(progress)
        factor = self.schedule(progress)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * group["initial_lr"]

    def count(self, batch_size: int, generator_moved: bool) -> None:
        images = batch_size * self.trainer.world_size
        self.images_seen += images
        _, optimizer = self.trainer.optimizers
        # a lookahead (Gidel et al. 2019) is no iterate that an average should contain
        if generator_moved and not getattr(optimizer, "extrapolated", False):
            used = images * self.n_critic * batches_per_update(optimizer)
            self.ema.update(self.generator_ema, self.generator, used, self.images_seen)

    @property
    def is_logging(self) -> bool:
        """Measuring waits for the device, so only the first, every n-th and an epoch's last do."""
        batches = self.trainer.fit_loop.epoch_loop.total_batch_idx + 1
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return batches == 1 or batches % every == 0 or self.trainer.is_last_batch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["progress"] = {
            "images_seen": self.images_seen,
            "discriminator_updates": self.discriminator_updates,
            "generator_updates": self.generator_updates,
            "recent": {name: float(value) for name, value in self.recent.items()},
        }
        checkpoint["clock"] = {"seconds": self.stopwatch.total()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        progress = dict(checkpoint["progress"])
        recent = progress.pop("recent")
        self.recent = {name: torch.tensor(v, device=self.device) for name, v in recent.items()}
        self.stopwatch.seconds = checkpoint["clock"]["seconds"]
        for name, value in progress.items():
            setattr(self, name, value)

    def on_train_start(self) -> None:
        self.stopwatch.start(self.images_seen)

    @torch.no_grad()
    def sample(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [N, C, H, W] in [-1, 1] of the averaged generator, in float32."""
        with torch.autocast(latents.device.type, enabled=False):
            return self.generator_ema(latents, labels)


def seed_step(seed: int, device: torch.device) -> None:
    """`torch.manual_seed` for the host and this device alone: the full one costs a millisecond."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Spare the gradients of the network's weights, which the other player does not need.

    It also keeps autocast from serving a cast of weights that were made before their last update.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def batches_per_update(optimizer: Optimizer) -> int:
    return 2 if hasattr(optimizer, "extrapolated") else 1


def check_arguments(n_critic: int, clip: dict[str, float | None]) -> None:
    if n_critic < 1:
        raise UserError(f"n_critic={n_critic} must be at least 1 discriminator update per batch")
    for name, bound in clip.items():
        if bound is not None and bound <= 0:
            raise UserError(f"clip.{name}={bound} must be a positive gradient norm, or null")
