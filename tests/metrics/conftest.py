"""Feature matrices of known distribution, a small feature network, MNIST if there."""

import pytest
import torch
from torch import Tensor

from gan_lab import RunError
from gan_lab.data.mnist import MNIST
from gan_lab.metrics.feature_training import fit
from gan_lab.metrics.features import Extractor
from tests.conftest import REAL_DATA


def normal(count: int, dim: int, seed: int = 0) -> Tensor:
    """Standard normal features [N, F]."""
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def byte_images(count: int, seed: int = 0, size: int = 12) -> Tensor:
    """Noise that is brighter in one of four quarters, uint8 [N, 1, size, size]."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 120, (count, 1, size, size), generator=random, dtype=torch.uint8)
    half = size // 2
    for quarter in range(4):
        row, column = (quarter // 2) * half, (quarter % 2) * half
        images[quarter::4, :, row : row + half, column : column + half] += 120
    return images


@pytest.fixture(scope="session")
def extractor() -> Extractor:
    """A network that tells the four bright quarters apart; the same every time."""
    net = fit(byte_images(256, seed=9), torch.arange(256) % 4, 4, epochs=3, batch_size=32)
    return Extractor(net, (1, 12, 12), identity="quarters")


@pytest.fixture(scope="session")
def mnist() -> MNIST:
    """The real digits, fetched where they are not there yet."""
    source = MNIST(REAL_DATA)
    try:
        source.prepare()
    except RunError as error:
        pytest.skip(f"MNIST is not there and cannot be fetched: {error}")
    return source
