"""On real digits: worse damage scores worse, planted copies are caught, the test set is not."""

import itertools

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from gan_lab.data.mnist import MNIST
from gan_lab.metrics.features import load_extractor
from gan_lab.metrics.measures import MEASURES, Comparison, Measure
from gan_lab.metrics.reals import Reals, RealSide, Sample
from gan_lab.metrics.storage import Cache

pytestmark = pytest.mark.slow

COUNT = 5000
BETTER_IS_LOWER = ("fid", "kid", "class_kl")


@pytest.fixture(scope="module")
def digits(mnist: MNIST) -> tuple[Tensor, Tensor]:
    """Training images and labels in random order: those of MNIST follow its writers."""
    images, labels = mnist.load("train")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order], labels[order]


@pytest.fixture(scope="module")
def real(mnist: MNIST, digits: tuple[Tensor, Tensor]) -> RealSide:
    """5,000 test images to compare with; copies are looked for among 30,000 training images."""
    test = mnist.load("test")[0]
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(1))
    reals = Reals("mnist", "test", digits[0][:30000], test[order[:COUNT]])
    return RealSide(reals, load_extractor(), Cache(None))


def damaged(digits: tuple[Tensor, Tensor], kind: str) -> list[Tensor]:
    """Ever worse versions, the undamaged images first."""
    images, labels = digits
    random = torch.Generator().manual_seed(2)
    whole = images[:COUNT]
    if kind == "noise":
        noise = torch.randn(whole.shape, generator=random)
        levels = [(whole + level * noise).round().clamp(0, 255).byte() for level in (4, 16, 64)]
        pure = torch.randint(256, whole.shape, generator=random, dtype=torch.uint8)
        return [whole, *levels, pure]
    if kind == "blur":
        return [whole, *[gaussian_blur(whole, [9, 9], sigma) for sigma in (0.6, 1.5)]]
    kept = [labels < bound for bound in (10, 9, 3, 1)]
    return [images[rows][:COUNT] for rows in kept]


def values(real: RealSide, images: Tensor, names: tuple[str, ...]) -> dict[str, float]:
    these = Comparison(real.sample(images), real, replicates=0)
    return {name: MEASURES[name](these).value for name in names}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("noise", ("fid", "kid", "inception_score", "precision", "recall", "coverage")),
        ("blur", ("fid", "kid", "precision", "recall", "coverage")),
        ("classes", ("fid", "kid", "inception_score", "recall", "coverage", "class_kl")),
    ],
)
def test_worse_damage_scores_worse(real, digits, kind, names):
    rows = [values(real, images, names) for images in damaged(digits, kind)]
    for name in names:
        found = [row[name] for row in rows]
        # once nothing is left to lose, at 0, shares cannot fall further
        strict = [a != b or a == b == 0 for a, b in itertools.pairwise(found)]
        assert found == sorted(found, reverse=name not in BETTER_IS_LOWER), (name, found)
        assert all(strict), (name, found)


@pytest.fixture(scope="module")
def unseen(mnist: MNIST, real: RealSide) -> Tensor:
    """The other half of the test set, as a perfect generator's samples."""
    test = mnist.load("test")[0]
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(1))
    return test[order[COUNT:]]


@pytest.fixture(scope="module")
def fair(real: RealSide, unseen: Tensor) -> dict:
    these = Comparison(real.sample(unseen), real)
    return {name: MEASURES[name](these) for name in ("near_copies", "c_t", "authenticity")}


def planted(real: RealSide, unseen: Tensor, share: float) -> Comparison:
    """Replace a share by training images with a trace of noise."""
    count, fake = round(share * len(unseen)), unseen.clone()
    noise = 2 * torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    fake[:count] = (real.reals.train[:count] + noise).round().clamp(0, 255).byte()
    return Comparison(real.sample(fake), real)


def bounds(measured: Measure) -> tuple[float, float]:
    assert measured.interval is not None
    return measured.interval


def test_the_real_test_set_is_not_accused(fair):
    assert fair["near_copies"].interval[0] < 0.01 < fair["near_copies"].interval[1] + 0.003
    assert fair["c_t"].interval[0] < 0
    assert abs(fair["c_t"].value) < 0.6


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
def test_planted_copies_are_caught(real, unseen, fair, share):
    these = planted(real, unseen, share)
    copies = MEASURES["near_copies"](these)
    assert bounds(copies)[0] > 0.01
    assert copies.value == pytest.approx(fair["near_copies"].value + share, abs=0.002)
    # one copy in a hundred shifts a mean rank and a share too little to be seen in 5,000 samples
    if share >= 0.05:
        assert bounds(MEASURES["c_t"](these))[1] < fair["c_t"].value
        assert bounds(MEASURES["authenticity"](these))[1] < fair["authenticity"].value


def test_more_exact_copies_score_worse_but_fid_does_not_see_them(real, unseen):
    train, honest, names = real.train, real.sample(unseen), ("near_copies", "c_t", "authenticity")
    found = []
    for share in (0.0, 0.01, 0.05, 0.1):
        count = round(share * COUNT)
        parts = zip(train.rows(slice(count)), honest.rows(slice(count, None)), strict=True)
        mixed = Comparison(Sample(*map(torch.cat, parts)), real, replicates=0)
        found.append([MEASURES[name](mixed).value for name in (*names, "fid")])
    copies, ranks, shares, distances = zip(*found, strict=True)
    assert all(a < b for a, b in itertools.pairwise(copies))
    assert all(a > b for falling in (ranks, shares) for a, b in itertools.pairwise(falling))
    assert distances[-1] < distances[0] + 0.1
