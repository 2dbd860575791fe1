"""The adversarial objective: each player's loss, penalties and heads as named terms."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Critic = Callable[[Tensor], Tensor]  # images [N, C, H, W] -> logits [N], labels already bound
Judged = tuple[Tensor, Tensor | None]  # logits [N] and features [N, F]


class Loss(Protocol):
    relativistic: bool
    threshold: float

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor: ...

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor: ...

    def probability(self, logits: Tensor) -> Tensor: ...


class Penalty(Protocol):
    """A term on the critic, (critic, real, fake) -> [N].

    With `of_logits` it is called with the logits on real and fake instead; one that has
    `constrain(discriminator)` acts on the weights after each of the discriminator's updates.
    """

    interval: int

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor: ...


class Head(Protocol):
    """A task on the discriminator's features [N, F], trained with the discriminator.

    `code` is what the generator's `Code.targets` made of the latents, or None.
    """

    def discriminator(
        self, real: Tensor, fake: Tensor, labels: Tensor | None, code: Any
    ) -> Tensor: ...

    def generator(self, fake: Tensor, labels: Tensor | None, code: Any) -> Tensor: ...


def widened(values: Tensor) -> Tensor:
    """In float32 at least: bfloat16 is too coarse for a loss; float64 stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class Objective(nn.Module):
    """Sum a loss, any number of penalties and heads; the names of the terms are the log keys.

    Args:
        loss: both players' losses on logits.
        penalties: name -> penalty on the discriminator.
        augment: what the discriminator sees of real and fake images.
        heads: name -> further task on the discriminator's features, in both players' terms.
    """

    def __init__(
        self,
        loss: Loss,
        penalties: Mapping[str, Penalty],
        augment: nn.Module,
        heads: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.penalties = dict(penalties)
        remembering = {n: p for n, p in penalties.items() if isinstance(p, nn.Module)}
        self.remembering = nn.ModuleDict(remembering)  # their buffers belong into checkpoints
        self.augment: Any = augment
        self.heads = nn.ModuleDict(heads or {})

    def discriminator_terms(
        self,
        discriminator: nn.Module,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None,
        step: int,
        code: Any = None,
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The discriminator's terms (scalars), and its logits on real and fake [N].

        `step` counts the discriminator's updates from 0: a penalty of interval k is due in every
        k-th of them.
        """
        (real_logits, real_features), (fake_logits, fake_features) = self.judge_both(
            discriminator, real, fake, labels
        )
        logits = widened(real_logits), widened(fake_logits)
        terms = {"loss": self.loss.discriminator(*logits).mean()}
        for name, head in self.tasks():
            terms[name] = head.discriminator(real_features, fake_features, labels, code).mean()
        critic = self.critic(discriminator, labels)
        for name, penalty in self.due(step):
            if getattr(penalty, "of_logits", False):
                terms[name] = penalty.interval * penalty(*logits).mean()
            else:
                terms[name] = self.penalise(penalty, critic, real, fake)
        if hasattr(self.augment, "observe"):
            self.augment.observe(real_logits.detach() - self.loss.threshold)
        return terms, real_logits, fake_logits

    def generator_terms(
        self,
        discriminator: nn.Module,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None,
        code: Any = None,
    ) -> dict[str, Tensor]:
        """The generator's terms (scalars)."""
        real_logits = None
        if self.loss.relativistic:
            real_logits = widened(discriminator(self.augment(real), labels))
        logits, features = self.judge(discriminator, fake, labels)
        terms = {"loss": self.loss.generator(widened(logits), real_logits).mean()}
        for name, head in self.tasks():
            terms[name] = head.generator(features, labels, code).mean()
        return terms

    def due(self, step: int) -> Iterator[tuple[str, Any]]:
        """The penalties of this step that are terms, which clipping is not."""
        for name, penalty in self.penalties.items():
            if callable(penalty) and step % penalty.interval == 0:
                yield name, penalty

    def tasks(self) -> Iterator[tuple[str, Any]]:
        yield from self.heads.items()

    def critic(self, discriminator: nn.Module, labels: Tensor | None) -> Critic:
        """The discriminator with labels and augmentation bound in, never compiled.

        Compiled code cannot be differentiated twice, which gradient penalties do.
        """

        def judged(images: Tensor) -> Tensor:
            with torch.compiler.set_stance("force_eager"):
                return discriminator(self.augment(images), labels)

        return judged

    def judge_both(
        self, discriminator: Any, real: Tensor, fake: Tensor, labels: Tensor | None
    ) -> tuple[Judged, Judged]:
        """Real and fake images in one pass, where the discriminator judges each by itself."""
        if not getattr(discriminator, "solitary", False):
            return self.judge(discriminator, real, labels), self.judge(discriminator, fake, labels)
        twice = None if labels is None else torch.cat([labels, labels])
        logits, features = self.judge(discriminator, torch.cat([real, fake]), twice)
        parts = (None, None) if features is None else features.chunk(2)
        return (logits[: len(real)], parts[0]), (logits[len(real) :], parts[1])

    def judge(self, discriminator: Any, images: Tensor, labels: Tensor | None) -> Judged:
        """Logits [N] and, where heads want them, the features [N, F] that they come from."""
        seen = self.augment(images)
        if not self.heads:
            return discriminator(seen, labels), None
        features = discriminator.features(seen, labels)
        return discriminator.judge(features, labels), features

    def at(self, progress: float) -> None:
        """Tell an augmentation that changes over the run which share of the budget is used."""
        if hasattr(self.augment, "at"):
            self.augment.at(progress)

    @torch.no_grad()
    def constrain(self, discriminator: nn.Module) -> None:
        """What penalties do to the weights once the discriminator has moved."""
        for penalty in self.penalties.values():
            if hasattr(penalty, "constrain"):
                penalty.constrain(discriminator)

    def penalise(self, penalty: Penalty, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        # A gradient of a gradient loses too much in bfloat16: penalties compute in float32.
        with torch.autocast(real.device.type, enabled=False):
            return penalty.interval * penalty(critic, widened(real), widened(fake)).mean()
