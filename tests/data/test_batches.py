from itertools import chain, islice

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from gan_lab.data.batches import ResidentBatches
from gan_lab.data.datamodule import ImageData
from gan_lab.data.images import to_float
from gan_lab.data.synthetic import Fake

# Lightning 2.6 asks newer versions of torch for a class that they rename.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")

SHAPE = (2, 4, 4)


def batches(count=23, batch_size=4, seed=1, **options):
    """Image i has label i and holds i in every pixel."""
    labels = torch.arange(count)
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, *SHAPE)
    return ResidentBatches(images, labels, batch_size, seed, **options)


def numbers(loader):
    return [labels.tolist() for _, labels in loader]


def test_form_of_a_batch():
    loader = batches()
    images, labels = next(iter(loader))
    assert (images.dtype, images.shape) == (torch.float32, (4, *SHAPE))
    assert (labels.dtype, labels.shape) == (torch.int64, (4,))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images[:, 0, 0, 0], labels / 127.5 - 1)


def test_one_channel_is_contiguous_both_ways():
    images = torch.zeros(4, 1, 5, 5, dtype=torch.uint8)
    batch, _ = next(iter(ResidentBatches(images, torch.zeros(4).long(), 2, 0)))
    assert batch.is_contiguous()
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_images_keep_their_pixels_in_place():
    images = torch.randint(0, 256, (6, 3, 5, 7), dtype=torch.uint8)
    for batch, labels in ResidentBatches(images, torch.arange(6), 2, 0):
        assert torch.equal(batch, to_float(images[labels]))


def test_an_epoch_sees_each_image_once_and_drops_the_rest():
    loader = batches(count=23, batch_size=4)
    seen = [*chain(*numbers(loader))]
    assert len(loader) == 5
    assert len(seen) == len(set(seen)) == 20


def test_order_is_a_function_of_seed_and_epoch():
    loader = batches()
    first = numbers(loader)
    assert numbers(loader) == first  # nothing remembered from one pass to the next
    loader.set_epoch(1)
    second = numbers(loader)
    assert second != first
    loader.set_epoch(0)
    assert numbers(loader) == first
    assert numbers(batches(seed=2)) != first


def test_order_ignores_and_leaves_alone_the_global_generator():
    torch.manual_seed(0)
    first = numbers(batches())
    state = torch.get_rng_state()
    torch.manual_seed(5)
    assert numbers(batches()) == first
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_very_same_permutation(world_size):
    whole = numbers(batches(count=40, batch_size=4 * world_size))
    ranks = [
        numbers(batches(count=40, batch_size=4, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    together = [[*chain(*parts)] for parts in zip(*ranks, strict=True)]
    assert together == whole  # so W devices and one device with a W times larger batch agree


def test_repeat_keeps_the_first_order():
    loader = batches(repeat=True)
    first = numbers(loader)
    loader.set_epoch(3)
    assert numbers(loader) == first


def test_gathering_on_the_host_gives_the_same():
    for (a, _), (b, _) in zip(batches(), batches(resident=False), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("position", [0, 1, 3, 5])
def test_state_continues_with_the_next_batch(position):
    loader = batches()
    loader.set_epoch(2)
    whole = numbers(loader)
    list(islice(loader, position))
    if position == 0:
        loader.set_epoch(1)
        loader.set_epoch(2)
    state = loader.state_dict()
    assert state == {"epoch": 2, "position": position}

    resumed = batches()
    resumed.load_state_dict(state)
    iterator = iter(resumed)
    resumed.set_epoch(2)  # Lightning does so after making the iterator
    assert [labels.tolist() for _, labels in iterator] == whole[position:]
    assert numbers(resumed) == whole  # the position counted once


def test_position_belongs_to_its_epoch():
    loader = batches()
    loader.load_state_dict({"epoch": 2, "position": 3})
    loader.set_epoch(3)
    assert len(numbers(loader)) == 5


class Recorder(pl.LightningModule):
    """Notes which images each step sees; has a parameter, for Lightning wants one."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def training_step(self, batch, batch_idx):
        images, _ = batch
        self.seen.append((self.current_epoch, batch_idx, images.double().sum().item()))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAndStop(Callback):
    """Saves when `steps` batches are done, at the end of a batch or of the epoch, and stops."""

    def __init__(self, path, steps, hook="on_train_batch_end"):
        self.path, self.steps = path, steps
        setattr(self, hook, self.act)

    def act(self, trainer, module, *_):
        if len(module.seen) == self.steps:
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt


def data():
    return ImageData(
        Fake(num_images=50),
        root="cache",
        image_size=28,
        channels=1,
        image_shape=(1, 28, 28),
        num_classes=10,
        batch_size=8,
        holdout=10,
        seed=3,
    )


def fit(path=None, callbacks=(), epochs=3, **options):
    module = Recorder()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    try:
        trainer.fit(module, datamodule=data(), ckpt_path=path)
    except SystemExit:  # how Lightning passes an interrupt on
        assert callbacks
    return module.seen


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_train_epoch_end"])
@pytest.mark.parametrize("limit", [1.0, 3])
def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(tmp_path, limit, hook):
    whole = fit(limit_train_batches=limit)
    per_epoch = 5 if limit == 1.0 else 3
    assert len(whole) == 3 * per_epoch
    assert len({images for *_, images in whole}) == len(whole)
    ends = range(per_epoch, 2 * per_epoch + 1, per_epoch)
    for steps in ends if hook == "on_train_epoch_end" else range(1, 2 * per_epoch + 1):
        path = tmp_path / f"{steps}.ckpt"
        before = fit(callbacks=[SaveAndStop(path, steps, hook)], limit_train_batches=limit)
        after = fit(path, limit_train_batches=limit)
        assert before + after == whole, steps


@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_overfitting_repeats_the_same_batches():
    seen = fit(overfit_batches=2)
    assert len(seen) == 6
    assert len({images for *_, images in seen}) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident", [True, False])
def test_a_gpu_sees_the_same_batches(resident):
    for (a, i), (b, j) in zip(batches(), batches(device="cuda", resident=resident), strict=True):
        assert b.is_cuda
        assert j.is_cuda
        assert torch.equal(i, j.cpu())
        assert torch.equal(a, b.cpu())
