import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from gan_lab import UserError
from gan_lab.data.datamodule import ImageData
from gan_lab.data.synthetic import Fake

CONF = Path(__file__).parents[2] / "conf" / "data"


def build(name="fake", **changes):
    """The data module of a YAML option, with `data.` keys changed."""
    config = OmegaConf.create({"seed": 5, "data": OmegaConf.load(CONF / f"{name}.yaml")})
    for key, value in changes.items():
        OmegaConf.update(config.data, key.replace("__", "."), value)
    return instantiate(config.data)


def fake(**changes):
    data = build(**changes)
    data.check()
    data.prepare_data()
    data.setup("fit")
    data.setup("fit")  # Lightning calls it for every entry point
    return data


def test_parts():
    data = fake(holdout=100)
    assert isinstance(data, ImageData)
    everything, labels = Fake(512).load("train")
    for split, rows in {"train": slice(412), "validation": slice(412, None)}.items():
        images, its_labels = data.images(split)
        assert torch.equal(images, everything[rows])
        assert torch.equal(its_labels, labels[rows])
    assert len(data.images("test")[0]) == 512
    assert not torch.equal(data.images("test")[0], everything)
    assert data.num_train == 412


def test_loader_without_a_trainer():
    data = fake(batch_size=100)
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (100, *data.image_shape)
    assert images.min() >= -1
    assert labels.max() < data.num_classes
    assert len(data.train_dataloader()) == 4


def test_the_loader_shares_memory_with_the_images():
    data = fake()
    assert data.train_dataloader()._pixels.data_ptr() == data.images("train")[0].data_ptr()


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (28, 3), (16, 3)])
def test_the_shape_is_what_the_config_says(size, channels, mnist_root):
    data = build(
        "mnist", root=mnist_root, image_size=size, channels=channels, holdout=10, batch_size=4
    )
    data.prepare_data()
    assert data.image_shape == (channels, size, size)
    assert data.images("train")[0].shape == (50, channels, size, size)
    assert data.images("validation")[0].shape == (10, channels, size, size)


def test_above_the_limit_images_are_mapped_and_gathered_on_the_host(mnist_root):
    options = {"root": mnist_root, "image_size": 64, "channels": 3, "holdout": 10}
    resident = build("mnist", batch_size=4, **options)
    mapped = build("mnist", batch_size=4, resident_limit=1000, **options)
    assert torch.equal(resident.images("train")[0], mapped.images("train")[0])
    for (a, _), (b, _) in zip(resident.train_dataloader(), mapped.train_dataloader(), strict=True):
        assert torch.equal(a, b)
    (file,) = Path(mnist_root, "mapped").glob("*.npy")
    written = file.stat().st_mtime_ns
    assert np.load(file, mmap_mode="r").shape == (60, 64, 64, 3)
    again = build("mnist", batch_size=4, resident_limit=1000, **options)
    assert torch.equal(again.images("train")[0], mapped.images("train")[0])
    assert file.stat().st_mtime_ns == written
    build("mnist", resident_limit=1000, **{**options, "image_size": 48}).images("train")
    assert len([*Path(mnist_root, "mapped").glob("*.npy")]) == 2


def test_a_folder_of_pictures_by_config(tmp_path):
    for i in range(40):
        path = tmp_path / "pictures" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 9), (i, 2 * i, 3 * i)).save(path)
    options = {"root": str(tmp_path), "num_classes": 2, "batch_size": 5, "image_size": 8}
    for limit in (0, 10**9):
        data = build("image_folder", holdout=6, resident_limit=limit, **options)
        data.prepare_data()
        assert data.num_train == 30
        images, labels = next(iter(data.train_dataloader()))
        assert images.shape == (5, 3, 8, 8)
        red = ((images[:, 0, 4, 4] + 1) * 127.5).round()
        assert torch.equal(red.long() % 2, labels)
        assert len(data.images("test")[0]) == 4


def test_subset_concerns_training_alone():
    data = fake(subset=0.5, holdout=100)
    images, labels = data.images("train")
    assert len(images) == data.num_train == 206
    assert labels.bincount().min() >= 20
    assert len(data.images("validation")[0]) == 100
    assert len(data.images("test")[0]) == 512


def test_classes_concern_every_part():
    data = fake(classes=[0, 3], holdout=100)
    for split in ("train", "validation", "test"):
        assert set(data.images(split)[1].tolist()) == {0, 3}
    assert data.num_train == len(data.images("train")[0])


def test_classes_count_from_0_where_the_config_has_no_others(mnist_root):
    options = {"root": mnist_root, "holdout": 10, "batch_size": 2, "classes": [7, 2]}
    kept, counted = build("mnist", **options), build("mnist", num_classes=2, **options)
    kept.check()
    counted.check()
    originals = kept.images("train")[1]
    assert set(originals.tolist()) == {2, 7}
    assert torch.equal(counted.images("train")[1], (originals == 2).long())


def test_keys_tell_apart_what_differs():
    variants: list[dict[str, Any]] = [
        {}, {"image_size": 32}, {"channels": 3}, {"holdout": 10}, {"classes": [0]},
        {"subset": 0.5}, {"subset": 0.5, "seed": 1}, {"source__num_images": 100},
    ]  # fmt: skip
    keys = [build(**variant).key("train") for variant in variants]
    keys += [build().key("validation"), build().key("test")]
    assert len(set(keys)) == len(keys)
    assert all(json.loads(key) for key in keys)
    assert build(seed=1).key("train") == build(seed=2).key("train")  # the seed only orders
    assert build(subset=9).key("test") == build(subset=8).key("test")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, r"data\.batch_size=0 must be a whole number at least 1"),
        ({"batch_size": 449}, r"data\.batch_size=449 .* the 448 training images .* to 448 or less"),
        ({"batch_size": 40, "subset": 30}, r"data\.batch_size=40 .* to 30 or less"),
        ({"batch_size": "many"}, r"data\.batch_size='many'"),
        ({"batch_size": 1.5}, r"data\.batch_size=1\.5"),
        ({"batch_size": True}, r"data\.batch_size=True"),
        ({"image_size": 0}, r"data\.image_size=0 .* from 1 to 4096"),
        ({"image_size": "big"}, r"data\.image_size='big'"),
        ({"channels": -1}, r"data\.channels=-1"),
        ({"seed": -1}, r"data\.seed=-1"),
        ({"holdout": -1}, r"data\.holdout=-1 .* from 0 to 511"),
        ({"holdout": 512}, r"data\.holdout=512 .* from 0 to 511"),
        ({"image_shape": [1, 2, 3]}, r"data\.image_shape=\[1, 2, 3\] must .* \[1, 28, 28\]"),
        ({"num_classes": 0}, r"data\.num_classes=0"),
        ({"source__num_images": 0}, r"data\.source\.num_images=0"),
        ({"resident_limit": -1}, r"data\.resident_limit=-1"),
        ({"subset": 0.0}, r"data\.subset=0\.0"),
        ({"classes": [11]}, r"data\.classes=\[11\]"),
        ({"root": None}, r"data\.root=None"),
        ({"root": ""}, r"data\.root=''"),
    ],
)
def test_check_says_what_is_wrong(changes, words):
    with pytest.raises(UserError, match=words):
        build(**changes).check()


def test_check_of_classes_and_channels():
    with pytest.raises(UserError, match=r"num_classes=5 must be 10: the classes of mnist"):
        build("mnist", num_classes=5).check()
    with pytest.raises(UserError, match=r"num_classes=5 must be 2 or 10"):
        build("mnist", num_classes=5, classes=[1, 2]).check()
    with pytest.raises(UserError, match=r"channels=2 cannot be made of the 3 channels of cifar10"):
        build("cifar10", channels=2).check()
    with pytest.raises(UserError, match=r"source\.split='words' must be one of"):
        build("emnist", source__split="words").check()


@pytest.mark.parametrize("below", ["", "sub/folder"])
def test_a_root_that_is_a_file(tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be a folder, for .*file is a file"):
        build("mnist", root=str(tmp_path / "file" / below)).check()


def test_no_validation_part():
    with pytest.raises(UserError, match=r"data\.holdout=0 leaves no validation"):
        fake(holdout=0).images("validation")


def test_a_batch_larger_than_what_classes_leave():
    data = fake(classes=[1], batch_size=60)
    with pytest.raises(UserError, match="is more than the 45 training images"):
        data.train_dataloader()


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_option_is_built_and_explained(name):
    data = build(name)
    if len(data.image_shape) == 3:  # points have no channels
        assert data.image_shape == (data.channels, data.image_size, data.image_size)
    for line in (CONF / f"{name}.yaml").read_text().splitlines()[1:]:
        key, _, rest = line.partition(":")
        if key.strip() in {"_target_", "source"} or rest.strip().startswith("${data."):
            continue  # their names say it
        assert " # " in line, line


def test_the_cache_follows_the_environment(monkeypatch):
    monkeypatch.setenv("GAN_LAB_DATA", "/somewhere")
    assert build().root == "/somewhere"
    monkeypatch.delenv("GAN_LAB_DATA")
    monkeypatch.setenv("HOME", "/home/me")
    assert build().root == "/home/me/.cache/gan_lab"
    monkeypatch.delenv("HOME")
    assert build().root == "./.cache/gan_lab"


def test_fake_is_deterministic_and_tells_its_classes():
    images, labels = Fake(100, channels=3, image_size=20, num_classes=4).load("train")
    assert (images.dtype, images.shape) == (torch.uint8, (100, 3, 20, 20))
    assert torch.equal(images, Fake(100, 3, 20, 4).load("train")[0])
    assert not torch.equal(images, Fake(100, 3, 20, 4, seed=1).load("train")[0])
    means = torch.stack([images[labels == label].float().mean(0).flatten() for label in range(4)])
    nearest = torch.cdist(images.float().flatten(1), means).argmin(1)
    assert (nearest == labels).float().mean() > 0.9
