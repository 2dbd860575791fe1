"""A plain loop as tutorials and books write it: what `gan_lab.benchmark task=speedrun` races.

  python benchmarks/tutorial.py            100 steps, then images per second
  python benchmarks/tutorial.py 2000 2     steps, loader processes (0, the DataLoader's own default)

float32, channels first, a DataLoader that transforms image by image, batch 64, uniform latents,
a sigmoid and binary cross-entropy on probabilities, Adam with 3e-4 (generator) and 2e-4
(discriminator), betas (0.5, 0.999), and the DCGAN of the books with 32 filters.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from gan_lab.data.mnist import MNIST

LATENT_DIM = 100
BATCH_SIZE = 64
TRAINED_ON = 50_000  # the rest of the training set chooses among recipes
DEFAULTS = ("100", "0")


class Digits(Dataset):
    """Images uint8 [N, 1, 28, 28], handed out one by one as torchvision's data sets do."""

    def __init__(self, images: Tensor) -> None:
        self.images = images[:, 0].contiguous()
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.fromarray(self.images[index].numpy()))


class Generator(nn.Module):
    """Uniform latents [N, 100] -> images [N, 1, 28, 28] in [-1, 1]."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.project = nn.Linear(LATENT_DIM, 4 * width * 7 * 7)
        self.layers = nn.Sequential(
            nn.Unflatten(1, (4 * width, 7, 7)),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, stride=2, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 1, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(self.project(latents))


class Discriminator(nn.Module):
    """Images [N, 1, 28, 28] -> the probability [N] that each is real."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1),  # 28 -> 14
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),  # -> 7
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),  # -> 3
            nn.BatchNorm2d(4 * width),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(4 * width * 3 * 3, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(images)).squeeze(1)


def steps(
    generator: Generator,
    discriminator: Discriminator,
    images: Tensor,
    batch_size: int = BATCH_SIZE,
    workers: int = 0,
) -> Iterator[int]:
    """Train on the networks' device without end; yield each step's real images once both moved."""
    loader = DataLoader(
        Digits(images), batch_size, shuffle=True, num_workers=workers, drop_last=True
    )
    criterion = nn.BCELoss()
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=3e-4, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    losses: list[tuple[float, float]] = []  # for the plot at the end of the tutorial
    device = next(generator.parameters()).device
    while True:
        for batch in loader:
            real = batch.to(device)
            ones, zeros = (make(len(real), device=device) for make in (torch.ones, torch.zeros))
            fake = generator(torch.rand(len(real), LATENT_DIM, device=device) * 2 - 1)
            optimizer_d.zero_grad()
            loss_real = criterion(discriminator(real), ones)
            loss_fake = criterion(discriminator(fake.detach()), zeros)
            loss_d = loss_real + loss_fake
            loss_d.backward()
            optimizer_d.step()
            optimizer_g.zero_grad()
            loss_g = criterion(discriminator(fake), ones)
            loss_g.backward()
            optimizer_g.step()
            losses.append((loss_d.item(), loss_g.item()))
            yield len(real)


def digits() -> Tensor:
    """The images that every racer learns from: uint8 [50000, 1, 28, 28].

    Read as a tutorial would, by a data set's class alone: what trains with gan_lab imports
    Lightning and Hydra besides, and this loop's start-up must not pay for them.
    """
    source = MNIST(os.environ.get("GAN_LAB_DATA", Path.home() / ".cache" / "gan_lab"))
    source.prepare()
    return source.load("train")[0][:TRAINED_ON]


def counts(arguments: Sequence[str]) -> tuple[int, int]:
    """Steps and loader processes; each that is not given is as the first lines say."""
    steps, workers = [*arguments, *DEFAULTS[len(arguments) :]]
    return int(steps), int(workers)


def main(count: int, workers: int) -> None:
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    networks = Generator().to(device), Discriminator().to(device)
    loop = steps(*networks, digits(), workers=workers)
    next(loop)
    print(f"first step at {time.time():.3f}", flush=True)
    start = time.perf_counter()
    seen = sum(next(loop) for _ in range(count))
    print(f"{seen / (time.perf_counter() - start):,.0f} images/s over {count} steps")


if __name__ == "__main__":
    main(*counts(sys.argv[1:]))
