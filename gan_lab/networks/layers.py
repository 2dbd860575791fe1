"""What several architectures share: the sizes that halving and doubling reach, and checks."""

from collections.abc import Sequence

from gan_lab import UserError

MAX_WIDTH = 512  # filters; widths double with every halving of the resolution up to this


def stages(image_shape: Sequence[int]) -> tuple[int, int]:
    """(first size, number of doublings) to reach the image size: 28 -> (7, 2), 32 -> (4, 3)."""
    if len(image_shape) != 3:
        raise UserError(
            f"image_shape={list(image_shape)} is of points, not of images; use networks=mlp_points"
        )
    _, height, width = image_shape
    if height == width == 28:
        return 7, 2
    doublings = height.bit_length() - 3
    if height != width or height < 8 or height != 4 << doublings:
        raise UserError(
            f"image size {height if height == width else f'{height}x{width}'} is not 4 * 2**k "
            "(8, 16, 32, ...) or 28; set data.image_size to 32, or use networks=mlp"
        )
    return 4, doublings


def stage_widths(width: int, doublings: int) -> list[int]:
    """Filters at each resolution, from the highest to the lowest: (32, 2) -> [32, 64, 128]."""
    return [min(width * 2**k, MAX_WIDTH) for k in range(doublings + 1)]


def check_sizes(latent_dim: int, width: int) -> None:
    if latent_dim < 1 or width < 1:
        raise UserError(f"latent_dim={latent_dim} and width={width} must be at least 1")
