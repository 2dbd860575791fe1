"""The training loop for two parameters, without Lightning: a thousand steps in a second.

It takes the steps of `training/module.py` in the same order, which a test holds to the last bit.
"""

import copy
import math

import torch
from torch import Tensor, nn

from gan_lab.objectives.objective import Objective
from gan_lab.training.module import OptimizerFactory, batches_per_update


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
        players = (self.generator, self.discriminator)
        self.trained = [p for player in players for p in player.parameters()]
        self.real = real
        self.n_critic = n_critic
        self.simultaneous = simultaneous
        self.critic_moves = optimizers["discriminator"](self.discriminator.parameters())
        self.generator_moves = optimizers["generator"](self.generator.parameters())
        self.updates = 0
        self.batches = batches_per_update(self.critic_moves)

    def play(self, count: int) -> Tensor:
        """The path of `count` updates of the critic, [count + 1, 2]; it ends at infinity."""
        path = [self.position()]
        for done in range(count):
            self.objective.at(done / count)
            self.step()
            path.append(self.position())
            if not all(map(math.isfinite, path[-1])):
                break
        return torch.tensor(path, dtype=torch.float64)

    def position(self) -> list[float]:
        return [parameter.item() for parameter in self.trained]

    def step(self) -> None:
        fake = self.generator(torch.zeros(len(self.real), 1), None)
        self.critic_moves.zero_grad()
        terms, _, _ = self.objective.discriminator_terms(
            self.discriminator, self.real, fake.detach(), None, self.updates // self.batches
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
