"""How the feature network is trained: cross-entropy on shifted, turned and slanted images."""

import time

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lab.data.images import to_float
from gan_lab.data.seeds import mix
from gan_lab.metrics.features import Extractor, FeatureNet


def fit(
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    epochs: int = 14,
    batch_size: int = 128,
    lr: float = 4e-3,
    seed: int = 0,
) -> FeatureNet:
    """Train on uint8 images [N, C, H, W] with AdamW and one cycle of the learning rate."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed))
        net = FeatureNet(images.shape[1], num_classes).to(memory_format=torch.channels_last)
    steps = max(1, len(images) // batch_size)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=epochs * steps, pct_start=0.15
    )
    started = time.monotonic()
    for epoch in range(epochs):
        random = torch.Generator().manual_seed(mix(seed, epoch))
        order = torch.randperm(len(images), generator=random)
        total = 0.0
        for rows in order[: steps * batch_size].chunk(steps):
            inputs = augment(to_float(images[rows]), random)
            loss = F.cross_entropy(net(inputs)[1], labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.monotonic() - started
        print(f"epoch {epoch + 1}/{epochs}  loss {total / steps:.4f}  {seconds:.0f} s", flush=True)
    return net


def augment(images: Tensor, random: torch.Generator) -> Tensor:
    """Shift, turn, scale and slant two images in three; the third keeps its sharp strokes."""
    turn, wide, high, slant, right, down = _uniform(len(images), random)
    wide, high = 1 + 0.12 * wide, 1 + 0.12 * high
    turn, slant = 0.2 * turn, 0.2 * turn + 0.15 * slant
    across = torch.stack([wide * turn.cos(), -high * slant.sin(), right / 7], 1)
    along = torch.stack([wide * turn.sin(), high * slant.cos(), down / 7], 1)
    maps = torch.stack([across, along], 1)  # [N, 2, 3]
    maps[::3] = torch.eye(2, 3)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _uniform(count: int, random: torch.Generator) -> tuple[Tensor, ...]:  # six of [N] in [-1, 1]
    return tuple(2 * torch.rand(6, count, generator=random) - 1)


def accuracy(net: FeatureNet, images: Tensor, labels: Tensor) -> float:
    """Share of images whose class the network names; leaves it in evaluation mode."""
    _, logits = Extractor(net, images.shape[1:], identity="").features(images)
    return (logits.argmax(1) == labels).float().mean().item()
