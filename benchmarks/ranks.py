"""Two ways to average gradients over ranks, in one run: images per second of each.

  python benchmarks/ranks.py          two ranks on the CPU, the default DCGAN, 3 rounds

`ddp` is ours (no wrapper, one flat all-reduce a player); ddp_find_unused_parameters_true is
Lightning's. Rounds alternate; each reports the median of its logged rates.
"""

import csv
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

STRATEGIES = ("ddp", "ddp_find_unused_parameters_true")


def rate(strategy: str, overrides: list[str]) -> float:
    """Images per second over both ranks, median of the rows after the first."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "gan_lab.train", f"hydra.run.dir={run}"]
        command += ["trainer.accelerator=cpu", "trainer.devices=2", f"trainer.strategy={strategy}"]
        command += ["trainer.max_epochs=1", "trainer.limit_train_batches=160", "logger=csv"]
        command += ["trainer.log_every_n_steps=20", "callbacks.evaluation=null", *overrides]
        subprocess.run(command, check=True, capture_output=True)
        with (run / "metrics.csv").open() as file:
            rates = [row["images_per_second"] for row in csv.DictReader(file)]
    return statistics.median(float(value) for value in rates[2:] if value)


def main() -> None:
    rounds = [{s: rate(s, sys.argv[1:]) for s in STRATEGIES} for _ in range(3)]
    for strategy in STRATEGIES:
        print(f"{strategy}: {statistics.median(r[strategy] for r in rounds):,.0f} images/s")
    ours, theirs = STRATEGIES
    ratios = [r[ours] / r[theirs] for r in rounds]
    print(f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
