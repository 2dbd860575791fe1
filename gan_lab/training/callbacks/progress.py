"""One progress bar over the whole budget: images per second, both losses, the time left."""

import sys
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from tqdm import tqdm

from gan_lab.training import budget
from gan_lab.training.module import GAN

LINE_SECONDS = 15.0  # between lines where there is no terminal to draw a bar on


class Progress(ProgressBar):
    """Runs from 0 to 100 % of the budget, whether that is epochs or time."""

    def __init__(self) -> None:
        super().__init__()
        self.bar: tqdm | None = None
        self.losses: dict[str, float] = {}
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.started, self.first_images = time.monotonic(), pl_module.images_seen
        self.drawn = 0.0
        if self.enabled and trainer.is_global_zero and sys.stderr.isatty():
            self.bar = tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed} {postfix}")

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        now, wait = time.monotonic(), 0.2 if self.bar is not None else LINE_SECONDS
        if self.enabled and trainer.is_global_zero and now - self.drawn > wait:
            self.draw(trainer, pl_module)
            self.drawn = now

    def on_metrics(
        self, trainer: Trainer, pl_module: LightningModule, metrics: dict[str, float]
    ) -> None:
        shown = {"D": "discriminator/loss", "G": "generator/loss", "FID": "val/fid"}
        shown["modes"] = "val/modes"
        self.losses |= {name: metrics[key] for name, key in shown.items() if key in metrics}

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self.enabled and trainer.is_global_zero:
            self.draw(trainer, pl_module)
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def draw(self, trainer: Trainer, module: GAN) -> None:
        share = budget.local_progress(trainer, module.images_seen)
        seconds = max(time.monotonic() - self.started, 1e-9)
        rate = (module.images_seen - self.first_images) / seconds
        text = f"{rate:,.0f} images/s, " + ", ".join(f"{k} {v:.3f}" for k, v in self.losses.items())
        text += f", {remaining(trainer, module.images_seen, rate)} left"
        if self.bar is None:
            print(f"{share:4.0%} of the budget, {text}", file=sys.stderr, flush=True)
            return
        self.bar.n = round(100 * share)
        self.bar.set_postfix_str(text)


def remaining(trainer: Trainer, images: int, rate: float) -> str:
    """The time left, as h:mm:ss: of the budget in images, or in time, whichever ends first."""
    total = budget.total_images(trainer)
    guesses = [(total - images) / rate] if total and rate > 0 else []
    if (left := budget.time_left(trainer)) is not None:
        guesses.append(left)
    whole = round(max(0.0, min(guesses))) if guesses else 0
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
