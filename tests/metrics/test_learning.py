"""On real digits: a generator that has learnt longer scores better."""

import itertools
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from torch import Tensor

from gan_lab.data.mnist import MNIST
from gan_lab.launch.assemble import build_data, build_module
from gan_lab.launch.entry import compose_run
from gan_lab.launch.fit import quiet_lightning
from gan_lab.launch.trainer import build_trainer
from gan_lab.metrics.features import load_extractor
from gan_lab.metrics.measures import MEASURES, Comparison
from gan_lab.metrics.reals import Reals, RealSide
from gan_lab.metrics.storage import Cache
from gan_lab.training.sampling import generate_images
from tests.conftest import REAL_DATA

pytestmark = pytest.mark.slow

COUNT = 2_000  # generated images, and test images
MARKS = (2_000, 10_000, 40_000)
NAMES = ("fid", "kid", "recall", "coverage")


class Checkpoints(Callback):
    """What the averaged generator draws once so many images have been seen."""

    def __init__(self) -> None:
        self.due = list(MARKS)
        self.drawn: list[Tensor] = []

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if self.due and module.images_seen >= self.due[0]:
            self.due.pop(0)
            self.drawn.append(generate_images(module.generator_ema, COUNT, seed=1))


@pytest.fixture(scope="module")
def scores(mnist: MNIST, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """Metric -> its values, early, in the middle and late in one short training."""
    given = ["data=mnist", f"data.root={REAL_DATA}", "data.subset=40960", "trainer.max_epochs=1"]
    given += [f"networks.{player}.width=8" for player in ("generator", "discriminator")]
    config, _ = compose_run("train", [*given, "trainer.enable_progress_bar=false"])
    checkpoints = Checkpoints()
    quiet_lightning()
    trainer = build_trainer(config, tmp_path_factory.mktemp("run"), [checkpoints], logger=False)
    trainer.fit(build_module(config), datamodule=build_data(config))
    assert len(checkpoints.drawn) == len(MARKS)
    real = side_of(mnist.load("test")[0])
    samples = [Comparison(real.sample(images), real, replicates=0) for images in checkpoints.drawn]
    return {name: [MEASURES[name](these).value for these in samples] for name in NAMES}


def side_of(images: Tensor) -> RealSide:
    """Some of the images to compare with; of the training images none of NAMES takes notice."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    reals = Reals("mnist", "test", images[order[-10:]], images[order[:COUNT]])
    return RealSide(reals, load_extractor(), Cache(None))


@pytest.mark.parametrize("name", ["fid", "kid"])
def test_distances_fall(scores: dict[str, list[float]], name: str) -> None:
    assert all(early > late for early, late in itertools.pairwise(scores[name])), scores


@pytest.mark.parametrize("name", ["recall", "coverage"])
def test_shares_rise(scores: dict[str, list[float]], name: str) -> None:
    assert all(early < late for early, late in itertools.pairwise(scores[name])), scores
