"""The code of InfoGAN (Chen et al. 2016): latents that mean something, for a head to recover."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from gan_lab import UserError

EDGE = 1e-4  # of a uniform number that is imposed: 0 and 1 are infinitely far out as latents


class Code:
    """The last `dim` latents, and what each of them means.

    Outside they are standard normal as all latents are. Inside, with Phi the normal distribution
    function, z is the category floor(K Phi(z)) of K equally likely ones, or the number
    2 Phi(z) - 1, uniform in [-1, 1]. The categorical ones come first.

    Args:
        categorical: number of categories of each categorical latent.
        continuous: how many continuous latents there are.
    """

    def __init__(self, categorical: Sequence[int] = (), continuous: int = 0) -> None:
        if not all(is_whole(k) and k >= 2 for k in categorical):
            raise UserError(f"code.categorical={categorical} must be a list of numbers above 1")
        if not is_whole(continuous) or continuous < 0:
            raise UserError(f"code.continuous={continuous} must be a whole number of at least 0")
        if not categorical and not continuous:
            raise UserError("code is empty; give it categorical=[10] or continuous=2, or code=null")
        self.categorical = tuple(categorical)
        self.continuous = continuous
        self.dim = len(self.categorical) + continuous

    def inputs(self, latents: Tensor) -> Tensor:
        """Noise, categories as one-hot vectors, numbers: [N, Z] -> [N, Z - dim + K1 + ... + C]."""
        categories, numbers = self.targets(latents)
        hot = [
            (category[:, None] == torch.arange(k, device=latents.device)).to(latents.dtype)
            for category, k in zip(categories, self.categorical, strict=True)
        ]
        return torch.cat([latents[:, : -self.dim], *hot, numbers], 1)

    def targets(self, latents: Tensor) -> tuple[list[Tensor], Tensor]:
        """What a head is to recover: categories int64 [N] each, and numbers [N, continuous]."""
        uniform = torch.special.ndtr(latents[:, latents.shape[1] - self.dim :])
        categories = [
            (k * uniform[:, place]).long().clamp(max=k - 1)
            for place, k in enumerate(self.categorical)
        ]
        return categories, 2 * uniform[:, len(self.categorical) :] - 1

    def impose(self, latents: Tensor, values: Sequence[float | None]) -> Tensor:
        """Latents whose code has these values: a category, or a number in [-1, 1]; None leaves it.

        Raises:
            UserError: where there are too few or too many, or one is out of its range.
        """
        if len(values) != self.dim:
            raise UserError(f"code={list(values)} must have {self.dim} values: {self.describe()}")
        imposed = latents.clone()
        for place, value in enumerate(values):
            if value is not None:
                uniform = min(max(self.uniform(place, value), EDGE), 1 - EDGE)
                imposed[:, place - self.dim] = NormalDist().inv_cdf(uniform)
        return imposed

    def uniform(self, place: int, value: float) -> float:
        """The middle of a category's share of [0, 1], or the place of a number in it."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if place < len(self.categorical):
            k = self.categorical[place]
            if is_number and 0 <= value < k and value == int(value):
                return (value + 0.5) / k
        elif is_number and -1 <= value <= 1:
            return (value + 1) / 2
        raise UserError(f"code: value {place + 1}, {value}, is out of range: {self.describe()}")

    def describe(self) -> str:
        """What each position is: `a category of 0 to 9, a number in [-1, 1]`."""
        parts = [f"a category of 0 to {k - 1}" for k in self.categorical]
        return ", ".join(parts + ["a number in [-1, 1]"] * self.continuous) + "; null leaves one"


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def code_of(settings: Mapping[str, Any] | None, latent_dim: int) -> Code | None:
    """The code that a config names, which must leave room for noise."""
    if settings is None:
        return None
    if unknown := set(settings) - {"categorical", "continuous"}:
        raise UserError(f"code has no setting {min(unknown)}; it takes categorical and continuous")
    code = Code(**settings)
    if latent_dim <= code.dim:
        raise UserError(
            f"latent_dim={latent_dim} leaves no noise beside a code of {code.dim} latents; "
            f"set networks.generator.latent_dim to at least {code.dim + 1}"
        )
    return code
