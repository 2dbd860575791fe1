"""Optimizers for games: steps by hand, the bilinear game, and exact continuation."""

import copy
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from gan_lab import UserError
from gan_lab.launch.assemble import build_optimizers
from gan_lab.training.optimizers import ExtraAdam, OptimisticAdam
from tests.conftest import run_train, tiny_config
from tests.test_train import assert_same_runs, resume, state_of, stop_at

OURS = [OptimisticAdam, ExtraAdam]
Factory = Callable[[list[nn.Parameter]], Optimizer]


def stepped(kind, gradients: list[float], **settings: Any) -> list[float]:
    """Where a weight that starts at 5 is after each step, for given gradients."""
    weight = nn.Parameter(torch.tensor([5.0], dtype=torch.float64))
    optimizer, found = kind([weight], **settings), []
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        found.append(weight.item())
    return found


# Gradients 3 and 1, betas 0.5 and 0.9. The first direction is 3 / sqrt(9) = 1. Before the second
# m = 1.5 and v = 0.9; after it both are corrected by 1 - 0.5^2 and 1 - 0.9^2.
SECOND = ((0.5 * 1.5 + 0.5 * 1) / 0.75) / ((0.9 * 0.9 + 0.1 * 1) / 0.19) ** 0.5


def test_optimistic_adam_by_hand() -> None:
    first, second = stepped(OptimisticAdam, [3, 1], lr=0.1, betas=(0.5, 0.9), eps=0)
    assert first == pytest.approx(5 - 2 * 0.1 * 1)
    assert second == pytest.approx(first - 2 * 0.1 * SECOND + 0.1 * 1)


def test_extra_adam_by_hand() -> None:
    """The look ahead is undone: the second gradient moves the first weight."""
    ahead, moved, again = stepped(ExtraAdam, [3, 1, 1], lr=0.1, betas=(0.5, 0.9), eps=0)
    assert ahead == pytest.approx(5 - 0.1 * 1)
    assert moved == pytest.approx(5 - 0.1 * SECOND)
    assert again < moved


def test_against_torchs_adam() -> None:
    """Adam's moves on the same gradients are the directions that both put together."""
    torch.manual_seed(0)
    gradients = torch.randn(9, dtype=torch.float64).tolist()
    settings: dict[str, Any] = {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}
    places = torch.tensor([5.0, *stepped(Adam, gradients, **settings)])
    moves = places.diff()
    optimistic = 5 + torch.cumsum(2 * moves - torch.cat([torch.zeros(1), moves[:-1]]), 0)
    found = torch.tensor(stepped(OptimisticAdam, gradients, **settings))
    torch.testing.assert_close(found, optimistic)
    anchors = 5 + torch.cat([torch.zeros(1), torch.cumsum(moves[1::2], 0)])
    ahead, updated = anchors[: len(moves[::2])] + moves[::2], anchors[1:]
    found = torch.tensor(stepped(ExtraAdam, gradients, **settings))
    torch.testing.assert_close(found[::2], ahead)
    torch.testing.assert_close(found[1::2], updated)


def radius(make: Factory, steps: int, alternating: bool) -> float:
    """How far from the equilibrium (0, 0) of min_x max_y x y the players are, from (1, 1) on."""
    x, y = (nn.Parameter(torch.ones(1, dtype=torch.float64)) for _ in range(2))
    of_x, of_y = make([x]), make([y])
    farthest = 0.0
    for step in range(steps):
        x.grad, y.grad = y.detach().clone(), -x.detach()
        of_x.step()
        if alternating:
            y.grad = -x.detach()
        of_y.step()
        if step >= steps - 50:
            farthest = max(farthest, (x.square() + y.square()).sqrt().item())
    return farthest


@pytest.mark.parametrize("alternating", [False, True])
def test_the_bilinear_game(alternating: bool) -> None:
    """Plain gradients circle or spiral outwards; ours come in.

    A large eps makes Adam's direction the gradient itself near the equilibrium; with a small one
    steps do not get shorter there, and nobody comes nearer than a few of them.
    """
    settings: dict[str, Any] = {"lr": 0.2, "betas": (0.0, 0.9), "eps": 1.0}
    assert radius(partial(SGD, lr=0.2), 1000, alternating) > 1
    for kind in OURS:
        assert radius(partial(kind, **settings), 1000, alternating) < 1e-3


@pytest.mark.slow
def test_closer_than_adam_with_usual_settings() -> None:
    settings: dict[str, Any] = {"lr": 0.01, "betas": (0.0, 0.99)}
    of_adam = radius(partial(Adam, **settings), 3000, False)
    for kind in OURS:
        assert radius(partial(kind, **settings), 3000, False) < of_adam / 5


@pytest.mark.parametrize("kind", OURS)
def test_the_minimum_of_a_quadratic(kind) -> None:
    """With a rate that falls to 0, as a schedule sets it."""
    target = torch.tensor([1.0, -2.0, 0.5])
    weight = nn.Parameter(torch.zeros(3))
    optimizer = kind([weight], lr=0.05, betas=(0.5, 0.99))
    for step in range(600):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 600)
        optimizer.zero_grad()
        (torch.tensor([1.0, 10.0, 100.0]) * (weight - target).square()).sum().backward()
        optimizer.step()
    torch.testing.assert_close(weight.detach(), target, atol=1e-3, rtol=0)


def trained(weights: list[nn.Parameter], optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        for weight in weights:
            weight.grad = (weight.detach() - 1).sin() + 0.1 * step
        optimizer.step()


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("cut", [1, 4, 5])
def test_goes_on_to_the_bit_from_its_state(kind, cut: int) -> None:
    """Also from between the look ahead and the update, through a file of tensors and containers."""
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(2))]
    optimizer = kind(weights, lr=0.1)
    trained(weights, optimizer, range(cut))
    file = io.BytesIO()
    torch.save({"weights": [w.detach() for w in weights], "state": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    others = [nn.Parameter(w) for w in saved["weights"]]
    resumed = kind(others, lr=0.1)
    resumed.load_state_dict(saved["state"])
    trained(weights, optimizer, range(cut, 9))
    trained(others, resumed, range(cut, 9))
    for mine, other in zip(weights, others, strict=True):
        assert torch.equal(mine, other)
    assert getattr(optimizer, "extrapolated", None) == getattr(resumed, "extrapolated", None)


def test_extrapolated_says_where_the_weights_are() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = ExtraAdam([weight])
    assert not optimizer.extrapolated
    said = []
    for _ in range(4):
        trained([weight], optimizer, range(1))
        said.append(optimizer.extrapolated)
    assert said == [True, False, True, False]
    assert not hasattr(OptimisticAdam([weight]), "extrapolated")


@pytest.mark.parametrize("kind", OURS)
def test_a_weight_without_gradient_stays(kind) -> None:
    idle, busy = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = kind([idle, busy], lr=0.1)
    trained([busy], optimizer, range(3))
    assert torch.equal(idle, torch.ones(2))
    optimizer.zero_grad()
    optimizer.step()  # with none at all
    assert torch.equal(idle, torch.ones(2))


def test_extra_adam_comes_back_without_a_second_gradient() -> None:
    """A weight that a head uses in one batch only does not stay where it looked."""
    weight = nn.Parameter(torch.ones(2))
    optimizer = ExtraAdam([weight], lr=0.1)
    trained([weight], optimizer, range(1, 2))
    assert not torch.equal(weight, torch.ones(2))
    optimizer.zero_grad()
    optimizer.step()
    assert torch.equal(weight, torch.ones(2))


@pytest.mark.parametrize("kind", OURS)
def test_the_closure_is_evaluated_with_gradients(kind) -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = kind([weight], lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0
    assert not torch.equal(weight, torch.ones(2))


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize(
    ("name", "value"), [("lr", -0.1), ("betas", (0.5, 1.0)), ("betas", (-0.1, 0.9)), ("eps", -1.0)]
)
def test_arguments_that_are_refused(kind, name: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"{name}.*(must|not be negative)"):
        kind([nn.Parameter(torch.ones(1))], **{name: value})


@pytest.mark.parametrize("name", ["optimistic_adam", "extra_adam"])
def test_options_are_built_for_both_players(name: str) -> None:
    factories = build_optimizers(tiny_config(f"optimizer={name}").optimizer)
    weight = nn.Parameter(torch.ones(2))
    for player in ("generator", "discriminator"):
        mine = copy.deepcopy(weight)
        trained([mine], factories[player]([mine]), range(2))
        assert not torch.equal(mine, weight)


@pytest.mark.slow
def test_a_run_resumed_between_look_ahead_and_update(tmp_path: Path, monkeypatch) -> None:
    """After three batches of 16 both players' weights are the looked-ahead ones."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    recipe = ["optimizer=extra_adam", "augment=ada", "augment.speed=300", "augment.interval=2"]
    recipe += ["penalty=[r1,lecam]", "penalty.lecam.start=2"]
    assert run_train(whole, *recipe) == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 48)
        assert run_train(parts, *recipe) == 143
    states = state_of(parts)["optimizer_states"]
    assert [state["param_groups"][0]["extrapolated"] for state in states] == [True, True]
    assert resume(parts) == 0
    assert_same_runs(whole, parts)
    remembered = state_of(parts)["state_dict"]
    assert remembered["objective.augment.calls"] == 16
    assert remembered["objective.remembering.lecam.calls"] == 16
