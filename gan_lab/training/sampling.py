"""Images from a generator, each a function of (seed, index) alone, whatever the batch size."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.data.images import to_uint8
from gan_lab.data.seeds import mix

BLOCK = 256  # latents are drawn in blocks of this many, so that index i never depends on a batch


def draw_latents(seed: int, start: int, stop: int, latent_dim: int) -> Tensor:
    """Standard normal latents [stop - start, Z] of the images start..stop-1 of a seed."""
    blocks = []
    for block in range(start // BLOCK, (stop - 1) // BLOCK + 1):
        generator = torch.Generator().manual_seed(mix(seed, block))
        latents = torch.randn(BLOCK, latent_dim, generator=generator)
        first = block * BLOCK
        blocks.append(latents[max(start - first, 0) : stop - first])
    return torch.cat(blocks)


def truncate(latents: Tensor, bound: float | None) -> Tensor:
    """Make normal latents truncated normal in [-bound, bound] (Brock et al. 2019, sec. 3.1).

    The paper redraws what lies outside; here the distribution function is squeezed instead, which
    gives the same distribution, and an image that changes smoothly with the bound.
    """
    if bound is None:
        return latents
    if bound <= 0:
        raise UserError(f"truncation={bound} must be positive (0.5 is strong, 2 weak), or null")
    normal = torch.distributions.Normal(0.0, 1.0)
    low, high = normal.cdf(torch.tensor([-bound, bound], dtype=torch.float64))
    squeezed = low + (high - low) * normal.cdf(latents.double())
    return normal.icdf(squeezed).clamp(-bound, bound).float()


def balanced_labels(count: int, num_classes: int) -> Tensor | None:
    """Each class in turn, int64 [count]; None for a generator that knows no classes."""
    return torch.arange(count) % num_classes if num_classes else None


def labels_like(train: Tensor, count: int, seed: int) -> Tensor:
    """Labels [count] drawn from those of the training images [M], without regard to their order.

    A conditional generator is measured with the classes' true shares, which others have to learn.
    """
    random = torch.Generator().manual_seed(mix(seed, count))
    return train[torch.randint(len(train), (count,), generator=random)].long()


@torch.no_grad()
def generate_images(
    generator: nn.Module,
    count: int,
    seed: int,
    batch_size: int = 500,
    truncation: float | None = None,
    labels: Tensor | None = None,
    code: Sequence[float | None] | None = None,
) -> Tensor:
    """uint8 images [count, C, H, W], or float32 points [count, D], on the CPU.

    Computed in float32, in evaluation mode. Without `labels` a generator that knows classes draws
    them in turn; `code` sets latents that mean something (InfoGAN), None leaves one to chance.
    """
    device, dtype = (getattr(next(generator.parameters()), name) for name in ("device", "dtype"))
    was_training, batches = generator.training, []
    if labels is None:
        labels = balanced_labels(count, getattr(generator, "num_classes", 0))
    generator.eval()
    for start in range(0, count, batch_size):
        stop = min(start + batch_size, count)
        latents = draw_latents(seed, start, stop, cast(int, generator.latent_dim))
        chosen = None if labels is None else labels[start:stop].to(device)
        with torch.autocast(device.type, enabled=False):
            images = draw_truncated(generator, latents.to(device), chosen, truncation, code, dtype)
        batches.append((images if images.ndim == 2 else to_uint8(images)).cpu().contiguous())
    generator.train(was_training)
    return torch.cat(batches)


def draw_truncated(
    generator: Any,
    latents: Tensor,
    labels: Tensor | None,
    truncation: float | None,
    code: Sequence[float | None] | None,
    dtype: torch.dtype,
) -> Tensor:
    """Images of latents [N, Z]; a style-based generator truncates in w, all others in z.

    In z the latents of a code are not truncated: all of its values are as likely as before. In w
    there are no separate ones, and all that a style says is drawn to the mean.
    """
    coder: Any = getattr(generator, "code", None)
    if code is not None:
        latents = coder.impose(latents, code)
    if truncation is not None and hasattr(generator, "truncate_w"):
        w = generator.truncate_w(generator.mapping(latents.to(dtype), labels), truncation)
        return generator.synthesis(w)
    if truncation is not None:
        noise = latents.shape[1] - (0 if coder is None else coder.dim)
        cut = truncate(latents[:, :noise].cpu(), truncation).to(latents)
        latents = torch.cat([cut, latents[:, noise:]], 1)
    return generator(latents.to(dtype), labels)
