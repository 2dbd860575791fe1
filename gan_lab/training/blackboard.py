"""The training loop for two parameters, without Lightning: a thousand steps in a second.

It takes the steps of `training/module.py` in the same order, which a test holds to the last bit.
"""

import copy

import torch
from torch import Tensor, nn

from gan_lab.metrics.game import position
from gan_lab.objectives.objective import Objective
from gan_lab.training.module import OptimizerFactory


class Bout:
    """Two players, on copies of what is given, and their optimizers.

    Args:
        optimizers: "generator" and "discriminator" -> parameters -> optimizer.
        real: the batch that every step is taken on, [N, ...].
        simultaneous: the generator answers the critic as it was before its update.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        optimizers: dict[str, OptimizerFactory],
        real: Tensor,
        n_critic: int = 1,
        simultaneous: bool = False,
    ) -> None:
        self.generator, self.discriminator, self.objective = copy.deepcopy(
            (generator, discriminator, objective)
        )
        self.real = real
        self.n_critic = n_critic
        self.simultaneous = simultaneous
        self.critic_moves = optimizers["discriminator"](self.discriminator.parameters())
        self.generator_moves = optimizers["generator"](self.generator.parameters())
        self.updates = 0
        # A lookahead and the update that it serves are one, also for lazy penalties.
        self.halves = 2 if hasattr(self.critic_moves, "extrapolated") else 1

    def play(self, count: int) -> Tensor:
        """The path of `count` updates of the critic, [count + 1, 2]; it ends at infinity."""
        path = [position(self.generator, self.discriminator)]
        for _ in range(count):
            self.step()
            path.append(position(self.generator, self.discriminator))
            if not bool(path[-1].isfinite().all()):
                break
        return torch.stack(path)

    def step(self) -> None:
        fake = self.generator(torch.zeros(len(self.real), 1), None)
        self.critic_moves.zero_grad()
        terms, _, _ = self.objective.discriminator_terms(
            self.discriminator, self.real, fake.detach(), None, self.updates // self.halves
        )
        torch.stack(list(terms.values())).sum().backward()
        self.updates += 1
        if not self.simultaneous:
            self.move_critic()
        if self.updates % self.n_critic == 0:
            self.answer(fake)
        if self.simultaneous:
            self.move_critic()

    def move_critic(self) -> None:
        self.critic_moves.step()
        self.objective.constrain(self.discriminator)

    def answer(self, fake: Tensor) -> None:
        """The generator's update; its gradient leaves the critic's as it is."""
        told = self.objective.generator_terms(self.discriminator, self.real, fake, None)
        trained = list(self.generator.parameters())
        gradients = torch.autograd.grad(torch.stack(list(told.values())).sum(), trained)
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter.grad = gradient
        self.generator_moves.step()
