"""Combinations that make no sense, refused before anything is written; docs/refusals.md lists them.

Each rule looks at the objects as they were built, so that a user's own class falls under it too. On
the blackboard (one parameter a player, networks=dirac) everything may be tried.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from gan_lab import UserError
from gan_lab.launch.trust import resolve_target
from gan_lab.networks import equalised
from gan_lab.objectives import losses, penalties
from gan_lab.objectives.heads import CodeRecovery
from gan_lab.objectives.objective import Objective

GRADIENT = (penalties.R1, penalties.R2, penalties.GradientPenalty, penalties.DRAGAN)
LIPSCHITZ = (*GRADIENT, penalties.WeightClipping)  # what keeps a critic from growing without end


@dataclass
class Game:
    """What is about to be trained."""

    config: DictConfig
    generator: nn.Module
    discriminator: nn.Module
    objective: Objective

    def penalty(self, *kinds: type) -> bool:
        return any(isinstance(p, kinds) for p in self.objective.penalties.values())

    def layer(self, *kinds: type) -> bool:
        """Whether the critic has such a layer."""
        return any(isinstance(module, kinds) for module in self.discriminator.modules())

    @property
    def packing(self) -> int:
        """Images that the critic judges together."""
        return int(getattr(self.discriminator, "packing", 1))

    @property
    def is_on_a_blackboard(self) -> bool:
        players = (self.generator, self.discriminator)
        return all(sum(p.numel() for p in player.parameters()) == 1 for player in players)

    @property
    def is_spectral(self) -> bool:
        return self.layer(_SpectralNorm)

    @property
    def is_bounded(self) -> bool:
        """Whether something keeps the critic from growing without end."""
        acting = [p for p in self.objective.penalties.values() if isinstance(p, LIPSCHITZ)]
        return self.is_spectral or any(strength(penalty) > 0 for penalty in acting)

    def knows_classes(self, player: str) -> bool:
        return bool(getattr(getattr(self, player), "num_classes", 0))

    @property
    def names_classes(self) -> bool:
        """Whether a critic or one of its heads looks at the labels of fakes."""
        kinds = [type(head) for head in self.objective.heads.values()]
        return self.knows_classes("discriminator") or any(k is not CodeRecovery for k in kinds)

    @property
    def loss(self) -> Any:
        return self.objective.loss

    @property
    def looks_ahead(self) -> list[bool]:
        """Of generator and discriminator: whether its optimizer extrapolates."""
        nodes = [self.config.optimizer[player] for player in ("generator", "discriminator")]
        kinds = [resolve_target(node._target_, "optimizer") for node in nodes]
        return [hasattr(kind, "extrapolated") for kind in kinds]


class Refusal(NamedTuple):
    """A combination, the reason, and the way out."""

    what: str
    why: str
    instead: str
    holds: Callable[[Game], bool]


BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)
REFUSALS = (
    Refusal(
        "a gradient penalty with batch norm in the critic",
        "with batch norm a logit depends on the whole batch, and the gradient of one sample's "
        "logit, which is what is penalised, does not exist",
        "networks.discriminator.norm=none, or penalty=none",
        lambda game: game.penalty(*GRADIENT) and game.layer(*BATCH_NORM),
    ),
    Refusal(
        "weight clipping with spectral normalisation",
        "spectral normalisation divides the clipped weights by their norm again, so that the clip "
        "bounds nothing",
        "networks.discriminator.spectral_norm=false, or penalty=none",
        lambda game: game.penalty(penalties.WeightClipping) and game.is_spectral,
    ),
    Refusal(
        "weight clipping with an equalised learning rate",
        "such a critic keeps its weights at unit size and scales them as it computes, so that the "
        "clip would silence it",
        "penalty=gradient_penalty, or networks=dcgan",
        lambda game: (
            game.penalty(penalties.WeightClipping)
            and game.layer(equalised.Conv2d, equalised.Linear)
        ),
    ),
    Refusal(
        "spectral normalisation with batch norm in the critic",
        "batch norm divides by the batch's own spread, which undoes the bound that spectral "
        "normalisation sets",
        "networks.discriminator.norm=none, or networks.discriminator.spectral_norm=false",
        lambda game: game.is_spectral and game.layer(*BATCH_NORM),
    ),
    Refusal(
        "the Wasserstein loss with a critic that nothing bounds",
        "without a Lipschitz bound the loss has no minimum: the critic's scale grows for ever",
        "penalty=gradient_penalty (or, with networks=dcgan, penalty=weight_clipping or "
        "networks.discriminator.spectral_norm=true)",
        lambda game: isinstance(game.loss, losses.Wasserstein) and not game.is_bounded,
    ),
    Refusal(
        "adaptive augmentation with a loss that knows no threshold",
        "its probability follows the sign of the logits on real images, and a Wasserstein or "
        "relativistic critic may add any constant to them",
        "augment=diffaugment, or objective=non_saturating",
        lambda game: (
            hasattr(game.objective.augment, "observe") and getattr(game.loss, "floating", False)
        ),
    ),
    Refusal(
        "packing with an auxiliary classifier or a recovered code",
        "a packed critic has one set of features for several images, and each image has a label "
        "or code of its own",
        "networks.discriminator.packing=1, or conditioning=none",
        lambda game: game.packing > 1 and len(game.objective.heads) > 0,
    ),
    Refusal(
        "a critic that is told labels beside a generator that is not",
        "fakes do not follow the labels that the critic sees with them, so that it always wins",
        "conditioning=embedding or conditioning=projection, which tell both, or conditioning=none",
        lambda game: game.knows_classes("discriminator") and not game.knows_classes("generator"),
    ),
    Refusal(
        "a generator that is told labels which nobody looks at",
        "nothing makes its images follow the labels that are asked for",
        "conditioning=embedding, conditioning=projection or conditioning=auxiliary_classifier",
        lambda game: game.knows_classes("generator") and not game.names_classes,
    ),
    Refusal(
        "a code that nobody recovers",
        "nothing makes the images show it",
        "conditioning=infogan, or conditioning.code=null",
        lambda game: getattr(game.generator, "code", None) is not None and not game.objective.heads,
    ),
    Refusal(
        "labels of which only some occur in the data",
        "a generator that is told labels would never see the others in training, and draw noise "
        "for them",
        "data.num_classes set to the number of data.classes, or conditioning=none",
        lambda game: (
            game.knows_classes("generator")
            and 0 < len(game.config.data.get("classes") or []) < game.config.data.num_classes
        ),
    ),
    Refusal(
        "a lookahead of one player alone",
        "extragradient extrapolates the whole game: the other player's update would answer a "
        "state that is never taken back",
        "optimizer=extra_adam for both players, or for none",
        lambda game: any(game.looks_ahead) and not all(game.looks_ahead),
    ),
    Refusal(
        "a lookahead with n_critic above 1",
        "the critic would look ahead in one batch and move in the next, while the generator waits",
        "n_critic=1, or optimizer=optimistic_adam",
        lambda game: all(game.looks_ahead) and game.config.n_critic > 1,
    ),
)


def strength(penalty: Any) -> float:
    """The weight of a penalty, whatever it is called."""
    known = [
        getattr(penalty, name) for name in ("gamma", "weight", "bound") if hasattr(penalty, name)
    ]
    return float(known[0]) if known else 1.0


def refuse(game: Game) -> None:
    """Raise UserError where the parts contradict each other or cannot take a step together."""
    for rule in REFUSALS:
        if rule.holds(game) and not game.is_on_a_blackboard:
            raise UserError(f"{rule.what} makes no sense: {rule.why}; use {rule.instead}")
    rehearse(game)


def rehearse(game: Game) -> None:
    """One step's terms on copies, so that what a part refuses is said before anything is written.

    Draws no random number of the run's.
    """
    discriminator, objective = copy.deepcopy((game.discriminator, game.objective))
    with torch.random.fork_rng(devices=[]):
        latents = torch.randn(2 * game.packing, cast(int, game.generator.latent_dim))
        labels = None
        if game.config.data.num_classes:
            labels = torch.zeros(len(latents), dtype=torch.long)
        code: Any = getattr(game.generator, "code", None)
        targets = None if code is None else code.targets(latents)
        images = sample(game, len(latents))
        objective.at(0.0)
        objective.discriminator_terms(discriminator, images, images, labels, 0, targets)
        objective.generator_terms(discriminator, images, images, labels, targets)


def sample(game: Game, count: int) -> Tensor:
    return torch.randn(count, *game.config.data.image_shape).clamp(-1, 1)
