"""One training run from its config to its result, whatever happens in between."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from gan_lab import RunError, UserError
from gan_lab.launch import assemble, loggers, runs
from gan_lab.launch.runs import RUN_DIR, is_first_rank
from gan_lab.launch.trainer import build_trainer
from gan_lab.training import checkpoint
from gan_lab.training.callbacks.checkpoints import Checkpoints, Signals
from gan_lab.training.callbacks.evaluation import Evaluation
from gan_lab.training.callbacks.metrics_csv import MetricsCSV
from gan_lab.training.measures import Diverged
from gan_lab.training.module import GAN


def fit(run: runs.Run) -> float | None:
    """Check everything, then train; leave result.json and say where the run is."""
    quiet_lightning()
    config = run.config
    images_seen = 0
    if run.checkpoint is not None:
        images_seen = checkpoint.load(run.checkpoint)["progress"]["images_seen"]
    loggers.check(config)
    data = assemble.build_data(config)
    module = assemble.build_module(config)
    signals, record = Signals(), MetricsCSV()
    callbacks = [signals, record, *assemble.build_callbacks(config)]
    build_trainer(config, run.folder, list(callbacks), logger=False)  # the flags are sound
    data.prepare_data()
    data.setup("fit")
    check_share(config, data)
    if is_first_rank():
        run.create()
        os.environ[RUN_DIR] = str(run.folder.absolute())  # where the other ranks find it
    writers = assemble.build_loggers(config, run.folder, images_seen + 1 if images_seen else None)
    trainer = build_trainer(config, run.folder, callbacks, logger=writers)
    loggers.log_setup(trainer.loggers, config, run.history["command"])
    for callback in callbacks:
        if isinstance(callback, Checkpoints):
            callback.config = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    if is_first_rank() and config.trainer.precision == "auto":
        print(f"precision: {trainer.precision} (trainer.precision=auto)", file=sys.stderr)
    status = follow(run, trainer, module, data, signals)
    if status == "interrupted":
        sys.exit(signals.status or 130 if is_first_rank() else 0)
    return best_of(trainer)[0]


def check_share(config: DictConfig, data: Any) -> None:
    """Refuse a share of the batches that is less than one batch."""
    batches = data.num_train // data.batch_size
    for name in ("limit_train_batches", "overfit_batches"):
        share = config.trainer[name]
        if isinstance(share, float) and 0 < share <= 1 and int(share * batches) < 1:
            raise UserError(
                f"trainer.{name}={share} of {batches} batches is none; "
                f"use at least {1 / batches:.4f}"
            )


def follow(run: runs.Run, trainer: Trainer, module: GAN, data: Any, signals: Signals) -> str:
    """Run Lightning's fit and record how it ended: finished, interrupted, diverged or failed."""
    status = "failed"
    try:
        trainer.fit(module, datamodule=data, ckpt_path=run.checkpoint)
        status = "finished" if signals.received is None else "interrupted"
    except Diverged:
        status = "diverged"
        raise
    except (KeyboardInterrupt, SystemExit):
        status = "interrupted"
    except OSError as error:
        raise RunError(f"the run in {run.folder} failed: {error}") from error
    finally:
        if trainer.is_global_zero:
            runs.write_result(run.folder, result_of(status, trainer, module))
            loggers.conclude(trainer.loggers, status)
            print(where_things_are(run.folder), flush=True)
    return status


def where_things_are(folder: Path) -> str:
    """The last lines of a run; the very last one is what scripts read."""
    checkpoints = [folder / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
    found = [path for path in checkpoints if path.exists()]
    lines = [f"samples: {folder / 'samples'}", f"logs: tensorboard --logdir {folder}"]
    return "\n".join([*lines, *(f"checkpoint: {path}" for path in found[:1]), f"run: {folder}"])


def result_of(status: str, trainer: Trainer, module: GAN) -> dict[str, Any]:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    record = next((c for c in callbacks if isinstance(c, MetricsCSV)), None)
    metric, best = best_of(trainer)
    return {
        "status": status,
        "world_size": trainer.world_size,
        "images_seen": module.images_seen,
        "generator_updates": module.generator_updates,
        "seconds": module.stopwatch.total(),
        "precision": str(trainer.precision),
        "metric": metric,
        "best": best,
        "last": record.last if record else {},
    }


def best_of(trainer: Trainer) -> tuple[float | None, dict[str, Any]]:
    """The best value of the metric that chooses best.ckpt, and what else was measured then."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Evaluation) and callback.best:
            return callback.best[callback.monitor], callback.best
    return None, {}


def quiet_lightning() -> None:
    """Leave Lightning's errors and warnings, not its notes about hardware and its tips."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for harmless in (
        "Found .* module.* in eval mode at the start of training",  # the averaged generator stays
        ".*smaller than the logging interval",  # an epoch's last batch is always logged
        "You requested to overfit but enabled",  # our batches repeat one order by themselves
        ".*isinstance\\(treespec, LeafSpec\\)",  # Lightning's own business with torch
    ):
        warnings.filterwarnings("ignore", harmless)
