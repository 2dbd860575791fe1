"""What a training step costs beside a hand-written loop with the same mathematics, in one run.

  python benchmarks/step.py                      the default DCGAN and the MLP, own batch sizes
  python benchmarks/step.py dcgan_mnist 200 7    one experiment, steps per round, rounds

Both sides train the same networks from the same config with the same precision, memory format,
data, losses, penalty, optimizers and averaging; gan_lab also logs and checks its numbers. What
watches a run every so many thousand images (sample grids, evaluations, health) is left out. Rounds
alternate, and each side reports the median of its rounds; the ratio is taken pair by pair. The
same, with where the time goes: python -m gan_lab.benchmark task=step
"""

import statistics
import sys

import torch

from gan_lab.launch.benchmarking.step import alternate
from gan_lab.launch.benchmarking.trials import compose, without_end


def compare(experiment: str, steps: int, rounds: int) -> None:
    config = compose(experiment, *without_end())
    ours, loop = alternate(config, steps, rounds)
    ratios = [a / b for a, b in zip(ours, loop, strict=True)]
    print(
        f"{experiment}: gan_lab {1e3 * statistics.median(ours):.2f} ms, "
        f"loop {1e3 * statistics.median(loop):.2f} ms per step of {config.data.batch_size} images; "
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), "
        f"{rounds} rounds of {steps} steps, {torch.get_num_threads()} threads",
        flush=True,
    )


if __name__ == "__main__":
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 7
    for name in [sys.argv[1]] if len(sys.argv) > 1 else ["dcgan_mnist", "mlp_mnist"]:
        compare(name, steps, rounds)
