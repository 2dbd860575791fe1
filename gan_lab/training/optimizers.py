"""Optimizers made for games, where plain gradients circle around the equilibrium or leave it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from gan_lab import UserError

Closure = Callable[[], float]


class OptimisticAdam(Optimizer):
    """Adam that takes twice its step and takes back the last one (Daskalakis et al. 2018, alg. 1).

    w <- w - 2 lr u + lr u', with Adam's direction u = m / (sqrt(v) + eps), m and v corrected for
    their start at 0, and u' that of the step before (0 in the first). Where the opponent's next
    gradient is like the last, this descends on where the opponent is going to be.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.5, 0.9),
        eps: float = 1e-8,
    ) -> None:
        check_arguments(lr, betas, eps)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> float | None:  # type: ignore[override]
        loss = evaluated(closure)
        for group in self.param_groups:
            if not (weights := with_gradients(group)):
                continue
            directions = adam_directions(self.state, weights, group)
            before = [self.state[w].get("direction") for w in weights]
            torch._foreach_add_(weights, directions, alpha=-2 * group["lr"])
            known = [(w, u) for w, u in zip(weights, before, strict=True) if u is not None]
            if known:
                moved, last = (list(column) for column in zip(*known, strict=True))
                torch._foreach_add_(moved, last, alpha=group["lr"])
            for weight, direction in zip(weights, directions, strict=True):
                self.state[weight]["direction"] = direction
        return loss


class ExtraAdam(Optimizer):
    """Adam with extrapolation (Gidel et al. 2019, alg. 4): look ahead, then step from before that.

    Calls of `step` alternate. The first moves the weights w to where Adam would go and keeps w; the
    second, with the gradient found there, moves w itself. Both update the moments, and a step takes
    two batches. Players that move in turn, as ours, each look ahead and step from where the other
    just went, where the paper's do both at one point. After an odd number of calls `extrapolated`
    is true: the weights, and so those in a checkpoint, are then the looked-ahead ones, and the
    others are in this state, so that a run resumed in between goes on to the bit.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.5, 0.9),
        eps: float = 1e-8,
    ) -> None:
        check_arguments(lr, betas, eps)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "extrapolated": False}
        super().__init__(params, defaults)

    @property
    def extrapolated(self) -> bool:
        """Whether the last step only looked ahead."""
        return bool(self.param_groups[0]["extrapolated"])

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> float | None:  # type: ignore[override]
        loss = evaluated(closure)
        for group in self.param_groups:
            weights = with_gradients(group)
            directions = adam_directions(self.state, weights, group) if weights else []
            if group["extrapolated"]:
                self.return_to_anchors(group)
            else:
                for weight in weights:
                    self.state[weight]["anchor"] = weight.clone()
            if weights:
                torch._foreach_add_(weights, directions, alpha=-group["lr"])
            group["extrapolated"] = not group["extrapolated"]
        return loss

    def return_to_anchors(self, group: dict[str, Any]) -> None:
        """Undo the look ahead, also of weights that have no gradient any more."""
        for weight in group["params"]:
            if "anchor" in self.state.get(weight, {}):
                weight.copy_(self.state[weight].pop("anchor"))


def adam_directions(state: Any, weights: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
    """Update both moments of each weight; return what Adam would subtract, but for the rate."""
    for weight in weights:
        if "step" not in state[weight]:
            state[weight]["step"] = 0
            state[weight]["exp_avg"] = torch.zeros_like(weight)
            state[weight]["exp_avg_sq"] = torch.zeros_like(weight)
        state[weight]["step"] += 1
    beta1, beta2 = group["betas"]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    first = [state[weight]["exp_avg"] for weight in weights]
    second = [state[weight]["exp_avg_sq"] for weight in weights]
    torch._foreach_lerp_(first, gradients, 1 - beta1)
    torch._foreach_mul_(second, beta2)
    torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
    steps = [state[weight]["step"] for weight in weights]
    scale = torch._foreach_div(second, [1 - beta2**step for step in steps])
    torch._foreach_sqrt_(scale)
    torch._foreach_add_(scale, group["eps"])
    torch._foreach_mul_(scale, [1 - beta1**step for step in steps])
    return list(torch._foreach_div(first, scale))


def with_gradients(group: dict[str, Any]) -> list[Tensor]:
    return [weight for weight in group["params"] if weight.grad is not None]


def evaluated(closure: Closure | None) -> float | None:
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def check_arguments(lr: float, betas: tuple[float, float], eps: float) -> None:
    if lr < 0:
        raise UserError(f"lr={lr} must be 0 (frozen) or more; 1e-4 to 1e-3 is usual")
    for index, beta in enumerate(betas):
        if not 0 <= beta < 1:
            raise UserError(f"betas[{index}]={beta} must lie in [0, 1); [0.5, 0.9] is usual")
    if eps < 0:
        raise UserError(f"eps={eps} must not be negative; 1e-8 is usual")
