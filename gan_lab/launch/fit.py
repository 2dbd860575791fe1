"""One training run from its config to its result, whatever happens in between."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer

from gan_lab import RunError, UserError
from gan_lab.launch import assemble, loggers, runs
from gan_lab.launch.compiling import compile_players
from gan_lab.launch.messages import flatten
from gan_lab.launch.resuming import Start, tidy, where_to_go_on
from gan_lab.launch.runs import RUN_DIR, is_first_rank
from gan_lab.launch.trainer import build_trainer
from gan_lab.training import storage
from gan_lab.training.callbacks.checkpoints import Checkpoints, Signals, stopped_by_signal
from gan_lab.training.callbacks.crowding import Crowding
from gan_lab.training.callbacks.evaluation import Evaluation
from gan_lab.training.callbacks.health import Health
from gan_lab.training.callbacks.metrics_csv import MetricsCSV
from gan_lab.training.distributed import RankDied
from gan_lab.training.loop import WholeFitLoop
from gan_lab.training.measures import Diverged
from gan_lab.training.module import GAN


def fit(run: runs.Run) -> float | None:
    """Check everything, then train; leave result.json and say where the run is."""
    quiet_lightning()
    try:
        return fit_locked(run)
    finally:
        run.lock.release()


def fit_locked(run: runs.Run) -> float | None:
    config = run.config
    storage.failing.clear()  # what an earlier run of this process could not write
    loggers.check(config)
    data = assemble.build_data(config)
    module = assemble.build_module(config)
    start = where_to_go_on(run, module) if run.resumed else None
    signals, record = Signals(), MetricsCSV()
    callbacks = [signals, record, Crowding(), *assemble.build_callbacks(config)]
    build_trainer(config, run.folder, list(callbacks), logger=False)  # the flags are sound
    compile_players(module, config)
    data.prepare_data()
    data.setup("fit")
    check_share(config, data)
    if is_first_rank():
        run.create()
        os.environ[RUN_DIR] = str(run.folder.absolute())  # where the other ranks find it
        tidy(run, start)
    images_seen = start.images_seen if start else 0
    writers = assemble.build_loggers(config, run.folder, images_seen + 1 if images_seen else None)
    trainer = build_trainer(config, run.folder, callbacks, logger=writers)
    trainer.fit_loop.__class__ = WholeFitLoop
    loggers.log_setup(trainer.loggers, config, run.history["command"])
    prepare(callbacks, config)
    if is_first_rank() and config.trainer.precision == "auto":
        print(f"precision: {trainer.precision} (trainer.precision=auto)", file=sys.stderr)
    status = follow(run, trainer, module, data, start)
    if status == "interrupted":
        sys.exit(signals.status if is_first_rank() else 0)
    return best_of(trainer)[0]


def prepare(callbacks: list[Callback], config: DictConfig) -> None:
    """Tell callbacks what they keep of the config, and let a full disk cost no more than files."""
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    for callback in callbacks:
        storage.shelter(callback)
        if isinstance(callback, Checkpoints):
            callback.config = plain
        if isinstance(callback, Health):
            callback.settings = flatten(plain)


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


def follow(run: runs.Run, trainer: Trainer, module: GAN, data: Any, start: Start | None) -> str:
    """Run Lightning's fit and record how it ended: finished, interrupted, diverged or failed."""
    status = "failed"
    try:
        trainer.fit(module, datamodule=data, ckpt_path=start.path if start else None)
        require_checkpoint(trainer)
        status = "interrupted" if stopped_by_signal(trainer) else "finished"
    except Diverged:
        status = "diverged"
        raise
    except RankDied as error:
        again = f"go on from the last checkpoint with resume={run.folder}"
        raise RankDied(f"the run in {run.folder} failed: {error}; {again}") from error
    except (KeyboardInterrupt, SystemExit):
        status = "interrupted"
    except OSError as error:
        raise RunError(f"the run in {run.folder} failed: {error}") from error
    finally:
        if trainer.is_global_zero:
            conclude(run, trainer, module, status)
    return status


def require_checkpoint(trainer: Trainer) -> None:
    """Raise RunError where the run's end is not saved; name what else could not be written."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    own = [c for c in callbacks if isinstance(c, Checkpoints)]
    for what in storage.failing.keys() - {str(callback.path) for callback in own}:
        text = f"warning: something is missing of {what}: {storage.failing[what]}"
        print(text, file=sys.stderr, flush=True)
    for callback in own:
        if callback.failure is not None:
            raise RunError(
                f"the end of the run is not saved: cannot write {callback.path}: "
                f"{callback.failure}; make room, then go on from the last checkpoint with "
                f"resume={trainer.default_root_dir}"
            )


def conclude(run: runs.Run, trainer: Trainer, module: GAN, status: str) -> None:
    """Leave result.json and the loggers' last words, and say where the run is."""
    write_result = runs.write_result
    if status != "finished":  # what ended the run is worth more than that this failed, too
        write_result = storage.forgiving("result.json", write_result)
    write_result(run.folder, result_of(status, trainer, module))
    loggers.conclude(trainer.loggers, status)
    print(where_things_are(run.folder), flush=True)


def where_things_are(folder: Path) -> str:
    """The last lines of a run; the very last one is what scripts read."""
    checkpoints = [folder / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
    found = [path for path in checkpoints if path.exists()]
    lines = [f"samples: {folder / 'samples'}", f"logs: tensorboard --logdir {folder}"]
    return "\n".join([*lines, *(f"checkpoint: {path}" for path in found[:1]), f"run: {folder}"])


def result_of(status: str, trainer: Trainer, module: GAN) -> dict[str, Any]:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    record = next((c for c in callbacks if isinstance(c, MetricsCSV)), None)
    measuring = [c for c in callbacks if isinstance(c, Evaluation | Health)]
    watched = {type(callback).__name__.lower(): callback.seconds for callback in measuring}
    metric, best = best_of(trainer)
    return {
        "status": status,
        "world_size": trainer.world_size,
        "images_seen": module.images_seen,
        "generator_updates": module.generator_updates,
        "seconds": module.stopwatch.total(),
        "callback_seconds": watched,  # of these, in this session
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
