"""What a training step costs beside a hand-written loop with the same mathematics, in one run.

  python benchmarks/step.py                      the default DCGAN and the MLP, batch 128
  python benchmarks/step.py dcgan_mnist 200 7    one experiment, steps per round, rounds

Both sides train the same networks from the same config with the same precision, memory format,
data, losses, penalty, optimizers and averaging; gan_lab also logs, checks and checkpoints. Sample
grids and evaluations, which come once in an epoch or less, are left out. Rounds alternate, and
each side reports the median of its rounds; the ratio is taken pair by pair.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback

from gan_lab.launch import assemble, hardware
from gan_lab.launch.entry import compose_run
from gan_lab.launch.fit import quiet_lightning
from gan_lab.launch.trainer import build_trainer
from gan_lab.training.callbacks.metrics_csv import MetricsCSV

WARMUP = 20


class Timing(Callback):
    """Seconds from the end of batch WARMUP to the end of the last one."""

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        if batch_idx == WARMUP - 1:
            self.start = time.perf_counter()
        self.end = time.perf_counter()


def lightning_round(config: DictConfig, steps: int) -> float:
    """Seconds per step of `gan_lab.train` as it is: callbacks, metrics.csv, TensorBoard."""
    with tempfile.TemporaryDirectory() as folder:
        module, data = assemble.build_module(config), assemble.build_data(config)
        timing = Timing()
        callbacks = [MetricsCSV(), *assemble.build_callbacks(config), timing]
        loggers = assemble.build_loggers(config, Path(folder), None)
        trainer = build_trainer(config, Path(folder), callbacks, logger=loggers)
        trainer.fit(module, datamodule=data)
    return (timing.end - timing.start) / steps


def loop_round(config: DictConfig, steps: int) -> float:
    """Seconds per step of the plainest loop that does the same."""
    module, data = assemble.build_module(config), assemble.build_data(config)
    data.prepare_data()
    data.setup("fit")
    generator, discriminator, average = module.generator, module.discriminator, module.generator_ema
    loss, penalties = module.objective.loss, module.objective.penalties
    optimizer_d, optimizer_g = module.configure_optimizers()
    bfloat16 = hardware.precision(config.trainer.precision, "cpu") == "bf16-mixed"
    batches = iter(data.train_dataloader())
    for step in range(WARMUP + steps):
        if step == WARMUP:
            start = time.perf_counter()
        real, _ = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            fake = generator(torch.randn(len(real), generator.latent_dim))
            real_logits, fake_logits = discriminator(real), discriminator(fake.detach())
        loss_d = loss.discriminator(real_logits.float(), fake_logits.float()).mean()
        for penalty in penalties.values():
            if step % penalty.interval == 0:
                value = penalty(discriminator, real, fake).mean()
                loss_d = loss_d + penalty.interval * value
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
        discriminator.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            fake_logits = discriminator(fake)
        optimizer_g.zero_grad()
        loss.generator(fake_logits.float()).mean().backward()
        optimizer_g.step()
        discriminator.requires_grad_(True)
        module.ema.update(average, generator, len(real), len(real) * (step + 1))
    return (time.perf_counter() - start) / steps


def compare(experiment: str, steps: int, rounds: int) -> None:
    config, _ = compose_run(
        "train",
        [
            f"experiment={experiment}",
            "data.batch_size=128",
            "trainer.max_epochs=1",
            f"trainer.limit_train_batches={WARMUP + steps}",
            "trainer.enable_progress_bar=false",
            "callbacks.samples=null",
            "callbacks.evaluation=null",
        ],
    )
    ours, loop = [], []
    for _ in range(rounds):
        ours.append(lightning_round(config, steps))
        loop.append(loop_round(config, steps))
    ratios = [a / b for a, b in zip(ours, loop, strict=True)]
    print(
        f"{experiment}: gan_lab {1e3 * statistics.median(ours):.2f} ms, "
        f"loop {1e3 * statistics.median(loop):.2f} ms per step of 128 images; "
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), "
        f"{rounds} rounds of {steps} steps, {torch.get_num_threads()} threads",
        flush=True,
    )


if __name__ == "__main__":
    quiet_lightning()
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 7
    for name in [sys.argv[1]] if len(sys.argv) > 1 else ["dcgan_mnist", "mlp_mnist"]:
        compare(name, steps, rounds)
