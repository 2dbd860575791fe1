"""The adversarial objective: each player's loss and penalties as named terms, without Lightning."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

Critic = Callable[[Tensor], Tensor]  # images [N, C, H, W] -> logits [N], labels already bound


class Loss(Protocol):
    relativistic: bool
    threshold: float

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor: ...

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor: ...

    def probability(self, logits: Tensor) -> Tensor: ...


class Penalty(Protocol):
    interval: int

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor: ...


class Objective(nn.Module):
    """Sum a loss and any number of penalties; the names of the terms are the log keys.

    Args:
        loss: both players' losses on logits.
        penalties: name -> penalty on the discriminator.
        augment: what the discriminator sees of real and fake images.
    """

    def __init__(self, loss: Loss, penalties: Mapping[str, Penalty], augment: nn.Module) -> None:
        super().__init__()
        self.loss = loss
        self.penalties = dict(penalties)
        self.augment = augment

    def discriminator_terms(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, step: int
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The discriminator's terms (scalars), and its logits on real and fake [N].

        `step` counts the discriminator's updates from 0: a penalty of interval k is due in every
        k-th of them.
        """
        critic = self.critic(discriminator, labels)
        real_logits, fake_logits = critic(real), critic(fake)
        terms = {"loss": self.loss.discriminator(real_logits.float(), fake_logits.float()).mean()}
        for name, penalty in self.penalties.items():
            if step % penalty.interval == 0:
                terms[name] = self.penalise(penalty, critic, real, fake)
        return terms, real_logits, fake_logits

    def generator_terms(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None
    ) -> dict[str, Tensor]:
        """The generator's terms (scalars)."""
        critic = self.critic(discriminator, labels)
        real_logits = critic(real).float() if self.loss.relativistic else None
        return {"loss": self.loss.generator(critic(fake).float(), real_logits).mean()}

    def critic(self, discriminator: nn.Module, labels: Tensor | None) -> Critic:
        return lambda images: discriminator(self.augment(images), labels)

    def penalise(self, penalty: Penalty, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        # A gradient of a gradient loses too much in bfloat16: penalties compute in float32.
        with torch.autocast(real.device.type, enabled=False):
            wide = torch.promote_types(real.dtype, torch.float32)  # trainer.precision=64-true stays
            return penalty.interval * penalty(critic, real.to(wide), fake.to(wide)).mean()
