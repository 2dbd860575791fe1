"""A loop by hand with gan_lab's parts and nothing else, the measure of the rest."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from omegaconf import DictConfig
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.batches import ResidentBatches
from gan_lab.launch import assemble, hardware

Mark = Callable[[str], None]  # is told the name of each phase when it ends


def ignore(phase: str) -> None:
    """No one asks how long a phase took."""


class Phases:
    """Seconds of each phase, added up over steps; waits for the device at each mark."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self.begin()

    def begin(self) -> None:
        synchronize(self.device)
        self.last = time.perf_counter()

    def __call__(self, phase: str) -> None:
        synchronize(self.device)
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self.last
        self.last = now


def is_plain(penalty: Any) -> bool:
    """A term on the critic; neither on its logits alone nor an act on its weights."""
    on_logits = getattr(penalty, "of_logits", False)
    return callable(penalty) and not on_logits and not hasattr(penalty, "constrain")


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class HandLoop:
    """Networks, losses, penalties, optimizers and averaging of a config, stepped without Lightning.

    The same precision, memory format and resident data; no schedule, logging, checks or
    checkpoints.

    Raises:
        UserError: for a config whose steps are of another kind (n_critic, clip, heads, penalties
            that are no gradient's, optimizers that look ahead).
    """

    def __init__(self, config: DictConfig) -> None:
        if config.n_critic != 1 or any(bound is not None for bound in config.clip.values()):
            raise UserError(
                f"n_critic={config.n_critic}, clip={config.clip}: the loop by hand moves both "
                "players in every step and clips nothing; leave both at their defaults"
            )
        hardware.spare_overhead()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module = assemble.build_module(config).to(self.device)
        self.optimizer_d, self.optimizer_g = self.module.configure_optimizers()
        self.refuse_other_steps()
        precision = hardware.precision(config.trainer.precision, self.device.type)
        self.bfloat16 = precision == "bf16-mixed"
        self.batches = self.endless(config)
        self.count = 0

    def refuse_other_steps(self) -> None:
        objective = self.module.objective
        others = [f"penalty.{n}" for n, p in objective.penalties.items() if not is_plain(p)]
        others += [f"conditioning.heads.{name}" for name in objective.heads]
        others += ["optimizer" for o in [self.optimizer_g] if hasattr(o, "extrapolated")]
        others += ["augment" for name in ("observe", "at") if hasattr(objective.augment, name)]
        if others:
            raise UserError(
                f"the loop by hand has no {', '.join(dict.fromkeys(others))} of this kind; measure "
                "an experiment with an unchanging augmentation, penalties on gradients, no heads "
                "and a plain optimizer"
            )

    def endless(self, config: DictConfig) -> Iterator[tuple[Tensor, Tensor]]:
        data = assemble.build_data(config)
        data.prepare_data()
        images, labels = data.images("train")
        batches = ResidentBatches(images, labels, data.batch_size, data.seed, device=self.device)
        while True:
            yield from batches
            batches.set_epoch(batches.epoch + 1)

    def due(self) -> list[str]:
        """The penalties of this step."""
        penalties = self.module.objective.penalties
        return [name for name, p in penalties.items() if self.count % p.interval == 0]

    def autocast(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def step(self, due: Sequence[str] | None = None, mark: Mark = ignore) -> None:
        """Update each player once, with the penalties `due`; by default those whose turn it is."""
        due = self.due() if due is None else due
        generator, discriminator = self.module.generator, self.module.discriminator
        real, labels = next(self.batches)
        real = self.module.arranged(real)
        mark("batch")
        with self.autocast():
            latent_dim = cast(int, generator.latent_dim)
            fake = generator(torch.randn(len(real), latent_dim, device=self.device), labels)
        mark("generator forward")
        self.update_discriminator(real, fake, labels, due, mark)
        discriminator.requires_grad_(False)
        loss = self.generator_loss(real, fake, labels)
        mark("discriminator on fakes, again")
        self.optimizer_g.zero_grad()
        loss.backward()
        mark("generator backward")
        self.optimizer_g.step()
        discriminator.requires_grad_(True)
        mark("optimizers")
        seen = len(real) * (self.count + 1)
        self.module.ema.update(self.module.generator_ema, generator, len(real), seen)
        mark("averaging")
        self.count += 1

    def update_discriminator(
        self, real: Tensor, fake: Tensor, labels: Tensor, due: Sequence[str], mark: Mark
    ) -> None:
        objective = self.module.objective
        critic = objective.critic(self.module.discriminator, labels)
        with self.autocast():
            (real_logits, _), (fake_logits, _) = objective.judge_both(
                self.module.discriminator, real, fake.detach(), labels
            )
        loss = objective.loss.discriminator(real_logits.float(), fake_logits.float()).mean()
        mark("discriminator forward")
        for name in due:
            penalty = objective.penalties[name]
            loss = loss + penalty.interval * penalty(critic, real, fake.float()).mean()
        mark("penalty, its own forward")
        self.optimizer_d.zero_grad()
        loss.backward()
        mark("discriminator backward, penalty included")
        self.optimizer_d.step()
        mark("optimizers")

    def generator_loss(self, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
        loss = self.module.objective.loss
        critic = self.module.objective.critic(self.module.discriminator, labels)
        with self.autocast():
            real_logits = critic(real).float() if loss.relativistic else None
            fake_logits = critic(fake).float()
        return loss.generator(fake_logits, real_logits).mean()

    def seconds_per_step(self, warmup: int, steps: int) -> float:
        for _ in range(warmup):
            self.step()
        synchronize(self.device)
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        synchronize(self.device)
        return (time.perf_counter() - start) / steps

    def phases(self, steps: int) -> dict[str, float]:
        """Seconds of each phase of a step, averaged over the penalties' intervals."""
        phases = Phases(self.device)
        for _ in range(steps):
            self.step(mark=phases)
        return {name: seconds / steps for name, seconds in phases.seconds.items()}
