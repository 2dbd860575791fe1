"""What each metric says of real digits, of damaged ones, and of sets with planted copies.

  python benchmarks/damage.py                 a Markdown table on stdout
  python benchmarks/damage.py table.md 2000   written to a file, with 2,000 images a row

Features of MNIST's 70,000 images are computed once and kept beside the data. The training set, in
which copies are looked for, is 14,000 images drawn at random from MNIST's; damaged are others of
them, so that no row but the planted ones contains a training image. All rows are compared with the
same test images; planted are copies among the remaining test images.
"""

import os
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from gan_lab.data.mnist import MNIST
from gan_lab.metrics.features import load_extractor
from gan_lab.metrics.fidelity import fid
from gan_lab.metrics.measures import MEASURES, Comparison
from gan_lab.metrics.reals import Reals, RealSide, Sample
from gan_lab.metrics.storage import Cache

ROOT = os.environ.get("GAN_LAB_DATA", str(Path.home() / ".cache" / "gan_lab"))
METRICS = [name for name in MEASURES if name != "fid_infinity"]
NUM_TRAIN = 14_000


class Digits:
    """MNIST with its features; `real` is the side that every row is compared with."""

    def __init__(self, count: int):
        source = MNIST(ROOT)
        source.prepare()
        (train, labels), (test, _) = source.load("train"), source.load("test")
        extractor, cache = load_extractor(), Cache(Path(ROOT) / "metrics")
        whole = RealSide(Reals("mnist", "test", train, test), extractor, cache)
        self.train, self.test = whole.train, whole.reference
        order, test_order = shuffled(len(train), seed=0), shuffled(len(test), seed=1)
        self.pool = order[NUM_TRAIN:]
        self.labels = labels[self.pool]
        self.unseen = self.test.rows(test_order[count : 2 * count])
        reference = self.test.rows(test_order[:count])
        members = self.train.rows(order[:NUM_TRAIN])
        reals = Reals("mnist", "test", members.images, reference.images)
        self.real = RealSide(reals, extractor, Cache(None))
        self.real.train, self.real.reference = members, reference
        self.count = count

    def of_classes(self, *classes: int) -> Sample:
        """Real images of some classes."""
        rows = self.pool[torch.isin(self.labels, torch.tensor(classes))]
        return self.train.rows(rows[: self.count])

    def with_copies(self, share: float) -> Sample:
        """Test images, of which a share is replaced by training images."""
        planted = round(share * self.count)
        parts = zip(self.real.train.rows(slice(planted)), self.unseen, strict=True)
        return Sample(*(torch.cat([copies, fair[planted:]]) for copies, fair in parts))


def rows(digits: Digits) -> Iterator[tuple[str, Sample]]:
    """Each kind of damage from weak to strong, after the undamaged images."""
    real = digits.of_classes(*range(10))
    yield "real", real
    random = torch.Generator().manual_seed(2)
    noise = torch.randn(real.images.shape, generator=random)
    for level in (4, 16, 64):
        images = (real.images + level * noise).round().clamp(0, 255).byte()
        yield f"noise of {level} grey levels", digits.real.sample(images)
    pure = torch.randint(256, noise.shape, generator=random, dtype=torch.uint8)
    yield "pure noise", digits.real.sample(pure)
    for name, sigma in (("slight blur", 0.6), ("strong blur", 1.5)):
        yield name, digits.real.sample(gaussian_blur(real.images, [9, 9], sigma))
    yield "nines missing", digits.of_classes(*range(9))
    yield "three classes (0, 1, 2)", digits.of_classes(0, 1, 2)
    yield "one class (1)", digits.of_classes(1)
    yield "unseen test images", digits.unseen
    for share in (0.01, 0.05, 0.1):
        yield f"{share:.0%} copies", digits.with_copies(share)


def table(digits: Digits) -> Iterator[str]:
    """Lines of Markdown."""
    yield f"| {digits.count:,} images | " + " | ".join(METRICS) + " |"
    yield "|---" * (len(METRICS) + 1) + "|"
    for name, sample in rows(digits):
        these = Comparison(sample, digits.real, replicates=0)
        values = [number(MEASURES[metric](these).value) for metric in METRICS]
        yield f"| {name} | " + " | ".join(values) + " |"


def drift(digits: Digits) -> Iterator[str]:
    """MNIST follows its writers: 10,000 training images in the order of the file, and at random."""
    random = shuffled(len(digits.train.images), seed=0)[:10_000]
    parts = {"10,000 at random": random}
    for start in range(0, 60_000, 10_000):
        parts[f"{start:,} to {start + 9_999:,}"] = torch.arange(start, start + 10_000)
    yield "| training images | FID to the 10,000 test images |"
    yield "|---|---|"
    for name, part in parts.items():
        yield f"| {name} | {fid(digits.test.features, digits.train.features[part]):.2f} |"


def shuffled(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def number(value: float) -> str:
    """Two or three digits that count, and never 1e-05."""
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3 if abs(value) >= 0.01 else 4
    return f"{value:.{digits}f}"


def main(output: Path | None, count: int) -> None:
    digits, lines = Digits(count), []
    for line in chain(table(digits), [""], drift(digits)):
        print(line, flush=True)
        lines.append(line)
    if output is not None:
        output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(
        Path(sys.argv[1]) if len(sys.argv) > 1 else None,
        int(sys.argv[2]) if len(sys.argv) > 2 else 5_000,
    )
