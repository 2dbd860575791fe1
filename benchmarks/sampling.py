"""How fast images are drawn, beside the generator's own forward passes, in alternating rounds.

python benchmarks/sampling.py runs/dcgan_mnist/TIME          10,000 images, five rounds
python benchmarks/sampling.py runs/dcgan_mnist/TIME 2000 3   images, rounds
"""

import sys
import time
from collections.abc import Callable

import torch

from gan_lab.launch import hardware
from gan_lab.launch.drawing import load_generator
from gan_lab.training.sampling import generate_images

BATCH_SIZE = 500


def rate(work: Callable[[], object], count: int) -> float:
    """Images a second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


@torch.no_grad()
def compare(source: str, count: int, rounds: int) -> None:
    hardware.spare_overhead()
    generator = load_generator(source, "cpu")
    latents = torch.randn(BATCH_SIZE, generator.latent_dim)

    def forward() -> None:
        for _ in range(count // BATCH_SIZE):
            generator(latents)

    def sample() -> None:
        generate_images(generator, count, seed=1, batch_size=BATCH_SIZE)

    forward()
    for _ in range(rounds):
        alone, drawn = rate(forward, count), rate(sample, count)
        print(
            f"forward {alone:,.0f}, drawn {drawn:,.0f} images a second; ratio {drawn / alone:.2f}"
        )


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[2:]]
    compare(sys.argv[1], *(given + [10_000, 5][len(given) :]))
