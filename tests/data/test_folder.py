import numpy as np
import pytest
import torch
from PIL import Image

from gan_lab import UserError
from gan_lab.data.celeba import CelebA
from gan_lab.data.folder import ImageFolder
from gan_lab.data.pictures import Recipe


def save(path, value, size=(10, 10), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def folder(tmp_path, **changes):
    options = {"image_size": 8, "channels": 3, "num_classes": 0, "crop": None, "test": 0.0}
    return ImageFolder(tmp_path / "pictures", tmp_path / "cache", **{**options, **changes})


@pytest.fixture
def twenty(tmp_path):
    """Ten pictures of each of two classes; all pixels of picture i of class c are 100 c + i."""
    for label, name in enumerate(["cats", "dogs"]):
        for i in range(10):
            suffix = [".png", ".JPG", ".bmp"][i % 3]
            save(tmp_path / "pictures" / name / f"{i}{suffix}", (100 * label + i,) * 3)
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    (tmp_path / "pictures" / "cats" / "._0.png").write_text("no picture either")
    return tmp_path


def prepared(source):
    source.check()
    source.prepare()
    return source


def test_all_pictures_are_found_and_their_folders_are_their_classes(twenty):
    images, labels = prepared(folder(twenty, num_classes=2)).load("train")
    assert (images.dtype, images.shape) == (torch.uint8, (20, 3, 8, 8))
    values = images.float().mean((1, 2, 3)).round().int()
    assert sorted(values.tolist()) == [*range(10), *range(100, 110)]
    assert torch.equal(labels, values // 100)
    # Shuffled, so that a part held out at the end has both classes.
    assert 0 < labels[-10:].sum() < 10


def test_without_classes(twenty):
    _, labels = prepared(folder(twenty)).load("train")
    assert labels.tolist() == [-1] * 20


def test_a_share_for_the_report(twenty):
    source = prepared(folder(twenty, test=0.25, channels=1))
    train, test = source.load("train")[0], source.load("test")[0]
    assert (len(train), len(test), source.num_train) == (15, 5, 15)
    assert len(torch.cat([train, test]).float().mean((1, 2, 3)).unique()) == 20
    with pytest.raises(UserError, match=r"no test pictures; set data\.source\.test above 0"):
        folder(twenty).load("test")


def test_train_and_test_folders(tmp_path):
    for split, count in {"train": 4, "test": 2}.items():
        for name in ("a", "b"):
            for i in range(count):
                save(tmp_path / "pictures" / split / name / "deeper" / f"{i}.png", (i, 0, 0))
    source = prepared(folder(tmp_path, num_classes=2, test=0.5))
    assert source.load("train")[1].bincount().tolist() == [4, 4]
    assert source.load("test")[1].bincount().tolist() == [2, 2]


def test_decoded_once(twenty, monkeypatch):
    first = prepared(folder(twenty)).load("train")[0]
    with monkeypatch.context() as patch:
        patch.setattr(Recipe, "decode", None)
        assert torch.equal(prepared(folder(twenty)).load("train")[0], first)
    assert len([*(twenty / "cache").glob("*.npy")]) == 1


def test_the_cache_depends_on_everything(twenty):
    keys = [folder(twenty).key]
    for change in ({"image_size": 9}, {"channels": 1}, {"crop": 5}, {"num_classes": 2}):
        keys.append(folder(twenty, **change).key)
    save(twenty / "pictures" / "cats" / "0.png", (50, 50, 50))
    keys.append(folder(twenty).key)
    before = prepared(folder(twenty)).load("train")[0].clone()
    save(twenty / "pictures" / "cats" / "1.JPG", (90, 90, 90))
    keys.append(folder(twenty).key)
    assert len(set(keys)) == len(keys)
    assert not torch.equal(prepared(folder(twenty)).load("train")[0], before)


def test_unreadable_files_are_all_named(twenty):
    for name, content in {"cats/bad1.png": b"", "dogs/bad2.jpg": b"\xff\xd8\xff garbage"}.items():
        (twenty / "pictures" / name).write_bytes(content)
    whole = (twenty / "pictures" / "dogs" / "0.png").read_bytes()
    (twenty / "pictures" / "dogs" / "0.png").write_bytes(whole[: len(whole) // 2])
    source = folder(twenty)
    source.check()
    with pytest.raises(UserError) as raised:
        source.prepare()
    message = str(raised.value)
    assert message.startswith("3 of 22 files cannot be read as pictures:")
    for name in ("bad1.png", "bad2.jpg", "0.png"):
        assert name in message
    assert [*(twenty / "cache").glob("*.npy")] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": 2}, r"data\.channels=2 must be 1 .* or 3"),
        ({"crop": 0}, r"data\.source\.crop=0"),
        ({"crop": "big"}, r"data\.source\.crop='big'"),
        ({"test": 1.0}, r"data\.source\.test=1\.0"),
        ({"test": "some"}, r"data\.source\.test='some'"),
        ({"num_classes": 3}, r"num_classes=3, .* 2 sub-folders: cats, dogs"),
    ],
)
def test_check_says_what_is_wrong(twenty, changes, words):
    with pytest.raises(UserError, match=words):
        folder(twenty, **changes).check()


def test_folders_without_pictures(tmp_path):
    with pytest.raises(UserError, match=r"data\.source\.folder=.*pictures is no folder"):
        folder(tmp_path).check()
    (tmp_path / "pictures").mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        folder(tmp_path).check()
    save(tmp_path / "pictures" / "a.png", 0, mode="L")
    with pytest.raises(UserError, match=r"lie in 1 sub-folders: \(the folder itself\)"):
        folder(tmp_path, num_classes=1).check()


def decode(path, image_size=2, channels=3, crop=None):
    return Recipe(image_size, channels, crop).decode(path)


def test_crop_takes_the_middle(tmp_path):
    picture = np.zeros((6, 10, 3), np.uint8)
    picture[2:4, 4:6] = 255
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert (decode(tmp_path / "a.png", image_size=2, crop=2) == 255).all()
    assert decode(tmp_path / "a.png", image_size=6).sum() == 4 * 3 * 255
    # A crop larger than the picture is as large as it can be.
    assert decode(tmp_path / "a.png", image_size=6, crop=100).sum() == 4 * 3 * 255


def test_formats_that_a_plain_conversion_gets_wrong(tmp_path):
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    assert (decode(tmp_path / "deep.png", channels=1) == 40_000 >> 8).all()

    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (decode(tmp_path / "clear.png") == 0).all()  # what is invisible is not red

    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "palette.gif", transparency=0)
    assert decode(tmp_path / "palette.gif")[0, 0].tolist() == [10, 20, 30]

    lying = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 6).repeat(2, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    lying.save(tmp_path / "turned.png", exif=exif)
    turned = decode(tmp_path / "turned.png", image_size=4, channels=1)[..., 0]
    assert turned[0, 0] > turned[0, -1]  # what was at the bottom left is now at the top left

    Image.new("CMYK", (4, 4), (0, 0, 0, 255)).save(tmp_path / "print.jpg")
    assert (decode(tmp_path / "print.jpg") < 5).all()


def celeba(tmp_path):
    return CelebA(tmp_path, tmp_path / "cache", image_size=8, channels=3, crop=178)


def test_celeba_as_torchvision_lays_it_out(tmp_path):
    rows = []
    for i in range(9):
        save(tmp_path / "celeba" / "img_align_celeba" / f"{i}.jpg", (20 * i,) * 3, (178, 218))
        rows.append(f"{i}.jpg {[0, 0, 1, 0, 2, 0, 1, 2, 0][i]}")
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text("\n".join(rows) + "\n")
    source = prepared(celeba(tmp_path))
    images, labels = source.load("train")
    assert source.num_train == 7
    assert (images.shape, labels.tolist()) == ((7, 3, 8, 8), [-1] * 7)
    # The official validation pictures (2 and 6) come last, to be held out.
    assert (images.float().mean((1, 2, 3)) / 20).round().tolist() == [0, 1, 3, 5, 8, 2, 6]
    assert len(source.load("test")[0]) == 2


def test_celeba_by_hand_is_explained(tmp_path):
    with pytest.raises(UserError, match=r"put list_eval_partition\.txt and .* img_align_celeba"):
        celeba(tmp_path).check()


def test_celeba_with_a_missing_picture(tmp_path):
    save(tmp_path / "celeba" / "img_align_celeba" / "1.jpg", 0, (178, 218))
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text("1.jpg 0\n2.jpg 2\n")
    with pytest.raises(UserError, match=r"2\.jpg"):
        prepared(celeba(tmp_path))
