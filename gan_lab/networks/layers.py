"""What several architectures share: sizes, checks, and the options of all critics."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

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


class MinibatchStd(nn.Module):
    """Tell samples how much they differ: one map more, the mean standard deviation of their group.

    [N, C, ...] -> [N, C + 1, ...] (Karras et al. 2018, sec. 3). Groups are of consecutive samples;
    those that are left over see the deviation of the last whole group that ends with them.

    Args:
        group: samples in a group; a smaller batch is one group.
    """

    def __init__(self, group: int) -> None:
        super().__init__()
        if group < 2:
            raise UserError(f"minibatch_std={group} must be at least 2 samples in a group, or 0")
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        size = max(1, min(self.group, len(x)))
        rest = len(x) % size
        groups = x[: len(x) - rest].reshape(-1, size, *x.shape[1:])
        if rest:
            groups = torch.cat([groups, x[-size:].unsqueeze(0)])
        centred = groups.float() - groups.float().mean(1, keepdim=True)
        # 1e-8: the root has no finite slope at 0, where all samples are the same.
        deviation = (centred.square().mean(1) + 1e-8).sqrt().flatten(1).mean(1)
        each = deviation.to(x.dtype).repeat_interleave(size)[: len(x)]
        return torch.cat([x, each.reshape(-1, *[1] * (x.ndim - 1)).expand_as(x[:, :1])], 1)


def std_layers(group: int) -> list[nn.Module]:
    """The layer, or none where the group is 0."""
    return [MinibatchStd(group)] if group else []


def pack(samples: Tensor, count: int) -> Tensor:
    """Concatenate every `count` samples on channels (Lin et al. 2018); a remainder is dropped.

    [N, C, ...] -> [N // count, count * C, ...]
    """
    packs = len(samples) // count
    shape = (packs, count * samples.shape[1], *samples.shape[2:])
    return samples[: packs * count].reshape(shape)


def normalise(network: nn.Module) -> None:
    """Spectral norm for every layer with a weight, the last one included (Miyato et al. 2018)."""
    for name, module in list(network.named_modules()):
        # The plane that stands for a label among the inputs is data, not a layer.
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)) and "inputs." not in name:
            parametrizations.spectral_norm(module)
