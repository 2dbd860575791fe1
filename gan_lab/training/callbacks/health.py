"""The health monitor: measure the game now and then, and name what is wrong while it happens."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.metrics.health import motion, reversal, total_variation
from gan_lab.training import budget
from gan_lab.training.callbacks.checkpoints import stopped_by_signal
from gan_lab.training.callbacks.samples import Samples, mark_after
from gan_lab.training.diagnosis import diagnose
from gan_lab.training.health_record import HealthRecord, log_text, say
from gan_lab.training.history import History
from gan_lab.training.measures import Diverged, emit, require_finite
from gan_lab.training.module import GAN
from gan_lab.training.probe import Probe
from gan_lab.training.rows import read_rows
from gan_lab.training.verdicts import Diagnosis, Verdict

FIRST = 4_000  # images seen at the first probe


class Health(Callback):
    """Probe both players at 4,000, 8,000, 16,000, ... images and from `every` on at its multiples.

    What it measures is logged as `health/NAME`, its verdicts as `verdict/NAME` (0 or 1) and as
    text; their history is kept in health.json. It disturbs nothing: a run with it and one without
    end with the same weights.

    Args:
        every: images seen between two probes; 40,000 cost less than 2 % of the time.
        num_images: samples, and reals of either kind, that a probe looks at.
    """

    def __init__(self, every: int = 40_000, num_images: int = 256) -> None:
        if every < 1 or num_images < 32:
            raise UserError(
                f"callbacks.health: every={every} must be at least 1 image and "
                f"num_images={num_images} at least 32"
            )
        self.every = every
        self.num_images = num_images
        self.memory: dict[str, Any] = {}  # of the last probe, for the next one; goes to checkpoints
        self.before: dict[str, list[Tensor]] = {}  # weights as they were before this batch
        self.probed_at = -1
        self.seconds = 0.0  # that the monitor itself has taken
        self.settings: dict[str, Any] = {}  # the run's config with dotted keys, for remedies
        self.active = False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.due = mark_after(pl_module.images_seen, self.every, FIRST)
        self.active = False  # unless all that it needs is there
        if not trainer.is_global_zero:
            return
        self.probe = Probe(trainer.datamodule, self.num_images, pl_module.device)
        folder = Path(trainer.default_root_dir)
        rows = read_rows(folder / "metrics.csv") if pl_module.images_seen else []
        self.history = History.of(rows, pl_module.images_seen)
        self.record = HealthRecord(folder / "health.json", pl_module.images_seen)
        self.active = True

    def on_metrics(self, trainer: Any, pl_module: Any, metrics: dict[str, float]) -> None:
        if self.active:
            self.history.add({"images_seen": pl_module.images_seen, **metrics})

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        images = pl_module.images_seen + len(batch[0]) * trainer.world_size
        if self.active and images >= self.due and self.generator_moves(pl_module, 1):
            self.before = {name: copies(player) for name, player in players(pl_module).items()}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        if pl_module.images_seen >= self.due and self.generator_moves(pl_module, 0):
            self.due = mark_after(pl_module.images_seen, self.every, FIRST)
            self.look(trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if self.probed_at != pl_module.images_seen and not stopped_by_signal(trainer):
            self.look(trainer, pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Say what a run that ended in infinities suffered from."""
        if isinstance(exception, Diverged) and self.active:
            found = diagnose(self.history, self.settings, broken=str(exception).split(";")[0])
            self.conclude(trainer, pl_module, found)

    def generator_moves(self, module: GAN, ahead: int) -> bool:
        """Probes follow a batch in which both players moved."""
        return (module.discriminator_updates + ahead) % module.n_critic == 0

    def look(self, trainer: Any, module: GAN) -> None:
        """Measure, log, and judge on rank 0; the others go on, and wait at their next meeting."""
        self.probed_at = module.images_seen
        if not self.active:
            return
        started = time.monotonic()
        measured, samples, counts = self.probe.read(trainer, module)
        if share := budget.local_progress(trainer, module.images_seen):  # 0: without any bound
            measured["progress"] = share
        measured |= {f"update_{k}": v for k, v in updates(self.before, players(module)).items()}
        measured |= self.spikes(module)
        measured |= self.compare(module.images_seen, samples, counts)
        self.before = {}
        emit(module, {f"health/{name}": value for name, value in measured.items()})
        require_finite(measured, module.images_seen)
        self.conclude(trainer, module, diagnose(self.history, self.settings))
        self.seconds += time.monotonic() - started

    def spikes(self, module: GAN) -> dict[str, float]:
        """Each player's largest gradient since the last probe, over its median so far."""
        found = {name: self.history.spike(f"{name}/gradient_norm") for name in players(module)}
        return {f"spike_{name}": value for name, value in found.items() if math.isfinite(value)}

    def compare(self, images: int, samples: Tensor, counts: Tensor | None) -> dict[str, float]:
        """How the samples of fixed latents moved since the last probe, and turned since before."""
        before, measured = self.memory, {}
        self.memory = {"images": images, "samples": samples, "counts": counts}
        if before:
            passed = images - before["images"]
            step = self.memory["step"] = samples - before["samples"]
            measured["motion"] = motion(samples, before["samples"], self.probe.scale, passed)
            if "step" in before:
                measured["reversal"] = reversal(step, before["step"])
            if counts is not None and before["counts"] is not None:
                measured["swing"] = total_variation(counts, before["counts"])
        return measured

    def conclude(self, trainer: Any, module: GAN, diagnosis: Diagnosis) -> None:
        """Log the verdicts; print and keep them where they changed."""
        findings = {finding.name for finding in diagnosis.findings}
        emit(module, {verdict.key: float(verdict in findings) for verdict in Verdict.ills()})
        if self.record.update(module.images_seen, diagnosis):
            say(diagnosis, module.images_seen)
            if not diagnosis.healthy:
                show(trainer, module)
            log_text(trainer.loggers, diagnosis, module.images_seen)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.memory)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.memory = dict(state_dict)


def show(trainer: Any, module: GAN) -> None:
    """A grid of samples from the moment of a verdict."""
    for callback in trainer.callbacks:
        if isinstance(callback, Samples):
            callback.write(trainer, module)


def players(module: GAN) -> dict[str, nn.Module]:
    return {"generator": module.generator, "discriminator": module.discriminator}


def copies(player: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in player.parameters()]


@torch.no_grad()
def updates(before: dict[str, list[Tensor]], after: dict[str, nn.Module]) -> dict[str, float]:
    """Player -> length of its last update over that of its weights; empty without copies."""
    ratios = {}
    for name, old in before.items():
        moved = [new - was for new, was in zip(after[name].parameters(), old, strict=True)]
        length = nn.utils.get_total_norm(old).clamp(min=1e-12)
        ratios[name] = (nn.utils.get_total_norm(moved) / length).item()
    return ratios
