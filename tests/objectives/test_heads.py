"""Heads in closed form; who trains them; what both players gain from them."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from gan_lab import UserError
from gan_lab.networks.dcgan import Discriminator, Generator
from gan_lab.objectives.augment import Identity
from gan_lab.objectives.heads import AuxiliaryClassifier, CodeRecovery
from gan_lab.objectives.losses import NonSaturating
from gan_lab.objectives.objective import Objective


def silent(head: Any) -> Any:
    """Without weights a head answers 0 to everything."""
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    return head


def test_a_classifier_that_knows_nothing_loses_the_log_of_the_classes() -> None:
    head = silent(AuxiliaryClassifier(8, num_classes=10, weight=2.0))
    features, labels = torch.randn(5, 8), torch.arange(5)
    expected = torch.full((5,), 2 * math.log(10))
    torch.testing.assert_close(head.generator(features, labels, None), expected)
    torch.testing.assert_close(head.discriminator(features, features, labels, None), 2 * expected)


def test_a_code_that_is_not_seen_costs_its_entropy() -> None:
    """log 4 for the category; half the square of each number, here 1 and 0.5, weighed 0.1."""
    head = silent(CodeRecovery(8, categorical=[4], continuous=2))
    code = [torch.tensor([0, 3])], torch.tensor([[1.0, 0.5], [1.0, 0.5]])
    expected = torch.full((2,), math.log(4) + 0.1 * 0.5 * (1 + 0.25))
    torch.testing.assert_close(head.generator(torch.randn(2, 8), None, code), expected)


def test_recognise_reads_what_the_head_answers() -> None:
    head = silent(CodeRecovery(8, categorical=[3], continuous=1))
    list(head.parameters())[-1].data = torch.tensor([0.0, 5.0, 0.0, 0.25])  # the last bias
    (category,), numbers = head.recognise(torch.randn(2, 8))
    assert category.tolist() == [1, 1]
    assert numbers.flatten().tolist() == [0.25, 0.25]


@pytest.mark.parametrize(
    "make",
    [
        lambda: AuxiliaryClassifier(8, num_classes=0),
        lambda: AuxiliaryClassifier(8, num_classes=10, weight=-1.0),
        lambda: CodeRecovery(8),
        lambda: CodeRecovery(8, categorical=[10], weight_continuous=-0.1),
    ],
)
def test_heads_refuse(make) -> None:
    with pytest.raises(UserError, match=r"use conditioning=|must not be negative"):
        make()


def game(head: nn.Module, **options: Any) -> tuple[Objective, Any, Any]:
    generator = Generator(16, (1, 28, 28), width=4, **options)
    discriminator = Discriminator((1, 28, 28), width=4)
    return Objective(NonSaturating(), {}, Identity(), {"head": head}), generator, discriminator


def test_a_head_is_a_named_term_of_both_players_and_moves_the_features() -> None:
    settings: dict[str, Any] = {"categorical": [10], "continuous": 2}
    head: Any = CodeRecovery(64 * 4, **settings)
    objective, generator, discriminator = game(head, code=settings)
    assert discriminator.num_features == 64 * 4
    latents = torch.randn(6, 16)
    fake, code = generator(latents), generator.code.targets(latents)
    real = torch.rand(6, 1, 28, 28)
    terms, *_ = objective.discriminator_terms(discriminator, real, fake.detach(), None, 0, code)
    terms["head"].backward()
    assert discriminator.layers[0].weight.grad.abs().sum() > 0  # what lies below learns to see it
    assert head.answer[0].weight.grad.abs().sum() > 0
    terms = objective.generator_terms(discriminator, real, fake, None, code)
    assert set(terms) == {"loss", "head"}
    terms["head"].backward()
    assert generator.project.weight.grad.abs().sum() > 0


def test_with_heads_the_logits_are_the_critics_own() -> None:
    head = AuxiliaryClassifier(64 * 4, num_classes=10)
    objective, _, discriminator = game(head)
    images, labels = torch.rand(4, 1, 28, 28), torch.arange(4)
    logits, _ = objective.judge(discriminator, images, labels)
    torch.testing.assert_close(logits, discriminator(images, labels))


def test_a_classifier_alone_learns_the_classes() -> None:
    """Ten bright rows for ten classes: a few steps on its term, and the head names them."""
    torch.manual_seed(0)
    head = AuxiliaryClassifier(64 * 4, num_classes=10)
    _, _, discriminator = game(head)
    labels = torch.arange(40) % 10
    images = torch.full((40, 1, 28, 28), -1.0)
    for image, label in zip(images, labels, strict=True):
        image[0, 2 * label + 4] = 1.0
    parameters = [*discriminator.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        seen = discriminator.features(images)
        head.discriminator(seen, seen, labels, None).mean().backward()
        optimizer.step()
    named = head.classify(discriminator.features(images)).argmax(1)
    assert (named == labels).float().mean() > 0.9
