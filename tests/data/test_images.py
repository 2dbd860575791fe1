import numpy as np
import pytest
import torch
from PIL import Image

from gan_lab import RunError
from gan_lab.data.images import make_grid, resize, save_png, to_float, to_uint8, with_channels

EVERY_VALUE = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


def test_ranges():
    floats = to_float(EVERY_VALUE)
    assert floats.dtype == torch.float32
    assert (floats.min(), floats.max()) == (-1, 1)


def test_there_and_back_is_exact():
    assert torch.equal(to_uint8(to_float(EVERY_VALUE)), EVERY_VALUE)


def test_to_uint8_clamps_and_rounds():
    values = torch.tensor([-7.0, -1.0, 0.0, 1.0, 7.0, 1 / 127.5 * 0.4 - 1, 1 / 127.5 * 0.6 - 1])
    assert to_uint8(values).tolist() == [0, 0, 128, 255, 255, 0, 1]


def test_to_uint8_of_bfloat16_is_that_of_its_values():
    values = torch.linspace(-1, 1, 100).bfloat16()
    assert torch.equal(to_uint8(values), to_uint8(values.float()))


def test_resize_keeps_what_fits():
    images = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    assert resize(images, 28) is images


def test_resize_of_digits_to_32_adds_a_frame():
    images = torch.full((3, 1, 28, 28), 200, dtype=torch.uint8)
    framed = resize(images, 32)
    assert torch.equal(framed[:, :, 2:-2, 2:-2], images)
    assert framed.sum() == images.sum()


def test_resize_halves_by_averaging():
    # Antialiased: a checkerboard becomes even grey, where nearest neighbours would stay black.
    checkers = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 255
    small = resize(checkers.to(torch.uint8).view(1, 1, 16, 16), 8)
    assert small.shape == (1, 1, 8, 8)
    assert ((small.float() - 127.5).abs() < 10).all()


@pytest.mark.parametrize("size", [16, 64, 100])
def test_resize_keeps_the_mean(size):
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    resized = resize(images, size)
    assert resized.shape == (4, 3, size, size)
    assert abs(resized.float().mean() - images.float().mean()) < 2


def test_channels():
    grey = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    colour = with_channels(grey, 3)
    assert colour.shape == (2, 3, 4, 4)
    assert torch.equal(with_channels(colour, 1), grey)
    red, green = torch.zeros(1, 3, 1, 1, dtype=torch.uint8), torch.zeros(1, 3, 1, 1).byte()
    red[:, 0], green[:, 1] = 255, 255
    assert (with_channels(red, 1).item(), with_channels(green, 1).item()) == (76, 150)
    with pytest.raises(ValueError, match="3 channels cannot become 2"):
        with_channels(colour, 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_places_every_image(channels):
    images = torch.randint(1, 256, (5, channels, 4, 6), dtype=torch.uint8)
    grid = make_grid(images, columns=3, padding=2)
    assert grid.shape == (2 + 2 * (4 + 2), 2 + 3 * (6 + 2), channels)
    second_of_row_two = grid[8:12, 10:16]
    assert np.array_equal(second_of_row_two, images[4].permute(1, 2, 0).numpy())
    assert grid.astype(int).sum() == images.long().sum()  # all of it, and black between


def test_grid_is_as_square_as_can_be():
    assert make_grid(torch.zeros(10, 1, 8, 8).byte(), padding=0).shape == (24, 32, 1)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_png_there_and_back(tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    save_png(tmp_path / "new" / "image.png", image)
    with Image.open(tmp_path / "new" / "image.png") as file:
        assert np.array_equal(np.asarray(file), image.squeeze())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["image.png"]


def test_png_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*file/image\.png"):
        save_png(tmp_path / "file" / "image.png", np.zeros((2, 2), np.uint8))
