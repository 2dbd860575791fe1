"""What one iteration takes (operations, bytes, operators), and what the machine gives at best."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from gan_lab.launch.benchmarking.handloop import HandLoop, synchronize

aten = torch.ops.aten
GATHERS = {aten.index_select, aten.index, aten.gather, aten.embedding}


@dataclass
class Cost:
    """Of one iteration of both players.

    Attributes:
        flops: of matrix products and convolutions, forward and backward, by torch's formulas.
        bytes: what operators read and write if nothing stays in a cache and nothing is fused:
            each tensor argument once and each result once, as is what is changed in place; views
            are free, and of what a gather picks from, only what it picks counts.
        operators: calls that do work, on a GPU about the number of kernels.
        saved: bytes that the forward passes keep for the backward passes, weights left out.
        weights: bytes of both players' weights, which is what ranks average.
        state: bytes of weights, gradients, optimizer states and averaged weights.
    """

    flops: float
    bytes: float
    operators: float
    saved: float
    weights: float
    state: float

    def amortised(self, penalised: Sequence[tuple["Cost", int]]) -> "Cost":
        """With each penalty's extra spread over its interval; what is saved is the peak."""
        plain = asdict(self)
        total = dict(plain)
        for cost, interval in penalised:
            for key, value in asdict(cost).items():
                total[key] += (value - plain[key]) / interval
        peak = max([self.saved, *(cost.saved for cost, _ in penalised)])
        return Cost(**{**total, "saved": peak})


class Traffic(TorchDispatchMode):
    """Count operators, their operations, and the bytes of their tensor arguments and results.

    The formulas are those of FlopCounterMode, whose hooks cannot bear a penalty's autograd.grad.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.bytes = self.operators = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        self.flops += formula(*args, **kwargs, out_val=result) if formula else 0
        if not func.is_view and "detach" not in str(func):
            taken = moved(func, args, kwargs, result)
            self.bytes += taken
            self.operators += taken > 0
        return result


def moved(func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> int:
    """Bytes that an operator reads and writes, each tensor once.

    A gather reads as much of its source as it hands on, however large the source may be: a batch
    costs the same out of any training set.
    """
    if func.overloadpacket in GATHERS:
        index = nbytes((args[1:], kwargs))
        return index + 2 * nbytes(result)
    return nbytes((args, kwargs, result, changed(func, args, kwargs)))


def changed(func: Any, args: Any, kwargs: dict[str, Any]) -> list[Any]:
    """What an operator writes without handing it on, as those do that change lists of tensors.

    Fused optimizers may write gradients, too, but only to scale them back.
    """
    if func._schema.returns:
        return []
    names = [argument.name for argument in func._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    written = {a.name for a in func._schema.arguments if a.alias_info and a.alias_info.is_write}
    if given.get("grad_scale") is None:
        written.discard("grads")
    return [given[name] for name in written & given.keys()]


def nbytes(tree: Any) -> int:
    return sum(leaf.nbytes for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def cost_of(loop: HandLoop, due: Sequence[str] = ()) -> Cost:
    """Count one iteration in which the penalties `due` are computed."""
    weights = {parameter.data_ptr() for parameter in loop.module.parameters()}
    saved = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.nbytes if tensor.data_ptr() not in weights else 0
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), Traffic() as traffic:
        loop.step(due=due)
    return Cost(traffic.flops, traffic.bytes, traffic.operators, saved, *sizes(loop))


def costs(loop: HandLoop) -> tuple[Cost, Cost]:
    """(without penalties, with each of them spread over its interval)."""
    loop.step()  # makes the optimizers' states
    plain = cost_of(loop)
    penalties = loop.module.objective.penalties
    return plain, plain.amortised([(cost_of(loop, [n]), p.interval) for n, p in penalties.items()])


def sizes(loop: HandLoop) -> tuple[int, int]:
    """Bytes of the weights that are trained, and of all that training keeps of them."""
    weights = sum(p.nbytes for p in loop.module.parameters() if p.requires_grad)
    averaged = sum(p.nbytes for p in loop.module.generator_ema.parameters())
    optimizers = (loop.optimizer_d, loop.optimizer_g)
    moments = sum(nbytes(list(o.state.values())) for o in optimizers)
    return weights, 2 * weights + averaged + moments


def ceilings(matrix: int, copy_bytes: int, overrides: list[str]) -> dict[str, float]:
    """Operations a second of matrix products, and bytes a second of a copy, at best.

    A copy reads and writes each byte, so it moves twice its size.
    """
    source = torch.zeros(copy_bytes, dtype=torch.uint8, device=device())
    target = torch.ones_like(source)
    copied = 2 * copy_bytes / fastest(lambda: target.copy_(source))
    return {**products(matrix, overrides), "copy": copied}


def products(matrix: int, overrides: list[str]) -> dict[str, float]:
    """Operations a second of a square matrix product, at best; `overrides` change nothing."""
    found = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = (torch.randn(matrix, matrix, device=device()).to(dtype) for _ in range(2))
        found[name] = 2 * matrix**3 / fastest(partial(torch.mm, a, b))
    return found


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fastest(call: Callable[[], Any], tries: int = 7) -> float:
    """Seconds of the fastest call: what disturbs a ceiling only makes it slower."""
    seconds = []
    for _ in range(tries):
        synchronize(device())
        start = time.perf_counter()
        call()
        synchronize(device())
        seconds.append(time.perf_counter() - start)
    return min(seconds)
