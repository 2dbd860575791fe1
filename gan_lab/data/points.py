"""Points from mixtures whose modes are known, in their own units, as float32.

The ring and the grid of Srivastava et al. 2017 (VEEGAN) and Lin et al. 2018 (PacGAN), in two
dimensions; on a line, the single point of Mescheder et al. 2018.
"""

import json
from collections.abc import Sequence

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lab import UserError
from gan_lab.data.batches import ResidentBatches, batches_of_rank, check_batch_size
from gan_lab.data.datamodule import check_integer
from gan_lab.data.seeds import mix
from gan_lab.data.subsets import check_subset, choose, subset_size

REAL, GENERATED = (76, 114, 176), (196, 78, 82)  # red, green, blue


class Mixture:
    """Equally likely round Gaussians; the same points for the same arguments.

    Args:
        name: what the data set is called.
        centres: of the modes, float32 [K, D].
        sigma: standard deviation of each mode, along either axis.
        num_points: in the training set, and again in the test set.
        seed: of the points.
    """

    def __init__(self, name: str, centres: Tensor, sigma: float, num_points: int, seed: int):
        self.name = name
        self.centres = centres
        self.sigma = sigma
        self.num_classes = len(centres)
        self.num_train = num_points
        self.seed = seed

    @property
    def key(self) -> str:
        return f"{self.name}-{self.centres.tolist()}-{self.sigma}-{self.num_train}-{self.seed}"

    def check(self) -> None:
        """Raise UserError for wrong arguments."""
        check_integer("source.num_points", self.num_train, 1)
        check_integer("source.seed", self.seed, 0)
        if not self.sigma > 0:
            raise UserError(f"data.source.sigma={self.sigma} must be a number above 0")

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """'train' or 'test' -> points float32 [N, D], labels int64 [N]: the mode of each."""
        random = torch.Generator().manual_seed(mix(self.seed, ["train", "test"].index(split)))
        labels = torch.randint(len(self.centres), (self.num_train,), generator=random)
        noise = torch.randn(self.num_train, self.centres.shape[1], generator=random)
        return self.centres[labels] + self.sigma * noise, labels


class Dirac(Mixture):
    """All points at one place; `sigma` only says how near it a sample is found there."""

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        points = self.centres.expand(self.num_train, -1).clone()
        return points, torch.zeros(self.num_train, dtype=torch.long)


def ring(
    num_modes: int = 8,
    radius: float = 1.0,
    sigma: float = 0.01,
    num_points: int = 100_000,
    seed: int = 0,
) -> Mixture:
    """Modes evenly on a circle."""
    check_integer("source.num_modes", num_modes, 1)
    angle = 2 * torch.pi * torch.arange(num_modes) / num_modes
    centres = radius * torch.stack([angle.cos(), angle.sin()], 1)
    return Mixture("ring", centres, sigma, num_points, seed)


def grid(
    side: int = 5,
    spacing: float = 2.0,
    sigma: float = 0.05,
    num_points: int = 100_000,
    seed: int = 0,
) -> Mixture:
    """Modes in a square of `side` times `side`, around the origin."""
    check_integer("source.side", side, 1)
    axis = spacing * (torch.arange(side) - (side - 1) / 2)
    return Mixture("grid", torch.cartesian_prod(axis, axis), sigma, num_points, seed)


def dirac(tolerance: float = 0.01, num_points: int = 8_000) -> Dirac:
    """Everything at 0 on a line."""
    if not tolerance > 0:
        raise UserError(f"data.source.tolerance={tolerance} must be a number above 0")
    return Dirac("dirac", torch.zeros(1, 1), tolerance, num_points, seed=0)


class PointData(pl.LightningDataModule):
    """Serves a mixture as `ImageData` serves images, all of it on the training device.

    `image_shape` is [D], the shape of one sample, which networks refer to.
    """

    def __init__(
        self,
        source: Mixture,
        image_shape: Sequence[int],
        num_classes: int,
        batch_size: int,
        holdout: int,
        seed: int,
        subset: float | int | None = None,
    ):
        super().__init__()
        self.source = source
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.holdout = holdout
        self.seed = seed
        self.subset = subset
        self._parts: dict[str, tuple[Tensor, Tensor]] = {}

    def check(self) -> None:
        """Raise UserError for everything that is wrong."""
        self.source.check()
        check_integer("seed", self.seed, 0)
        if self.image_shape != (dimension := self.source.centres.shape[1],):
            raise UserError(
                f"data.image_shape={list(self.image_shape)} must be [{dimension}], a point's"
            )
        if self.num_classes != self.source.num_classes:
            raise UserError(
                f"data.num_classes={self.num_classes!r} must be {self.source.num_classes}, the "
                f"modes of {self.source.name}"
            )
        check_integer("holdout", self.holdout, 0, self.source.num_train - 1)
        check_subset(self.subset, self.source.num_train - self.holdout)
        check_integer("batch_size", self.batch_size, 1)
        check_batch_size(self.batch_size, self.num_train)

    @property
    def num_train(self) -> int:
        """Points to train on."""
        return subset_size(self.source.num_train - self.holdout, self.subset)

    def key(self, split: str) -> str:
        """Everything that `images(split)` depends on, for the names of caches."""
        choice = [self.subset, self.seed if self.subset is not None else None]
        return json.dumps([self.source.key, split, self.holdout, *choice])

    def prepare_data(self) -> None:
        self.check()

    def setup(self, stage: str | None = None) -> None:
        self.images("train")

    def images(self, split: str) -> tuple[Tensor, Tensor]:
        """'train', 'validation' or 'test' -> points float32 [N, D], labels int64 [N]."""
        if split not in self._parts:
            self._parts[split] = self._part(split)
        return self._parts[split]

    def _part(self, split: str) -> tuple[Tensor, Tensor]:
        if split == "validation" and self.holdout == 0:
            raise UserError("data.holdout=0 leaves no validation points; set it to 1 or more")
        points, labels = self.source.load("test" if split == "test" else "train")
        cut = len(labels) - self.holdout
        rows = {"train": slice(cut), "validation": slice(cut, None), "test": slice(None)}[split]
        points, labels = points[rows], labels[rows]
        if split == "train" and self.subset is not None:
            chosen = choose(labels, None, self.subset, self.seed)
            points, labels = points[chosen], labels[chosen]
        return points, labels

    def train_dataloader(self) -> ResidentBatches:
        points, labels = self.images("train")
        return batches_of_rank(self.trainer, points, labels, self.batch_size, self.seed)


def draw_points(points: Tensor, real: Tensor | None = None, size: int = 320) -> np.ndarray:
    """One uint8 picture [size, size, 3]: points in red over the density of the real ones in blue.

    It shows what lies in the square around the origin that holds all real points, and a fifth more
    on each side; without any, or where these are all at the origin, that of the points themselves.
    Points [N, 1] of a line lie on the horizontal axis.
    """
    shown = points if real is None or not real.any() else real
    reach = 1.2 * shown[shown.isfinite().all(1)].abs().max().clamp(min=1e-6).item()
    picture = np.full((size, size, 3), 255, np.uint8)
    if real is not None:
        counts = _counts(real, reach, size)
        # A root, so that the flanks of a narrow mode show as well.
        shade = np.sqrt(counts / max(counts.max(), 1.0))[:, :, None]
        picture = np.rint(255 + shade * (np.array(REAL) - 255)).astype(np.uint8)
    hit = _counts(points, reach, size) > 0
    hit[:, 1:] |= hit[:, :-1]  # two pixels wide and high, or single points would hardly show
    hit[1:] |= hit[:-1]
    picture[hit] = GENERATED
    return picture


def _counts(points: Tensor, reach: float, size: int) -> np.ndarray:  # -> [size, size], y upwards
    x, y = F.pad(points.double(), (0, 2 - points.shape[1])).numpy().T
    bounds = [[-reach, reach], [-reach, reach]]
    return np.histogram2d(y, x, bins=size, range=bounds)[0][::-1].copy()
