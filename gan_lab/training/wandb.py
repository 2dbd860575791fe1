"""Weights & Biases: scalars, sample grids and hyperparameters, offline until asked to upload."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only


class RunWandb(Logger):
    """Keep the run below its folder; the x-axis of every chart is in images seen.

    Lightning's own logger counts optimizer steps, and lets the next job of a sweep write into the
    run before it.

    Args:
        save_dir: the run folder.
        purge_step: None at the start; a resumed run is continued under its old id.
        project: where the run is filed.
        offline: write files only, for `wandb sync` later.
    """

    package = "wandb"

    def __init__(
        self,
        save_dir: str,
        purge_step: int | None = None,
        project: str = "gan_lab",
        offline: bool = True,
    ) -> None:
        super().__init__()
        self.folder = Path(save_dir).absolute()
        self.resumed = purge_step is not None
        self.project = project
        self.offline = offline
        self._experiment: Any = None

    @property
    def name(self) -> str:
        return self.project

    @property
    def version(self) -> str | None:
        return None if self._experiment is None else self._experiment.id

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The `wandb.Run`, begun when it is first asked for."""
        import wandb

        if self._experiment is None:
            self._experiment = wandb.init(
                project=self.project,
                group=self.folder.parent.name,
                name=self.folder.name,
                dir=self.folder,
                id=self.old_id(),
                resume=None if self.offline else "allow",
                mode="offline" if self.offline else "online",
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off", disable_git=True),
            )
            self._experiment.define_metric("images_seen")
            self._experiment.define_metric("*", step_metric="images_seen")
        return self._experiment

    def old_id(self) -> str | None:
        """The id that ends the name of an earlier session's folder: offline-run-TIME-ID."""
        sessions = sorted((self.folder / "wandb").glob("*run-*-*")) if self.resumed else []
        return sessions[-1].name.rsplit("-", 1)[-1] if sessions else None

    @rank_zero_only
    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        self.experiment.config.update(dict(params), allow_val_change=True)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self.experiment.log({**metrics, "images_seen": step})

    @rank_zero_only
    def log_image(self, key: str, images: list[np.ndarray], step: int | None = None) -> None:
        """Pictures uint8 [H, W, C]."""
        import wandb

        self.log_metrics({key: [wandb.Image(picture) for picture in images]}, step)

    @rank_zero_only
    def conclude(self, status: str) -> None:
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if status == "finished" else 1)
