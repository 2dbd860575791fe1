"""MLflow: scalars, sample grids and hyperparameters in one local data base, without a server."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}
FOLDER_TAG = "gan_lab.folder"


class RunMLflow(Logger):
    """Keep all runs in one store, so that `mlflow ui` can compare them.

    Args:
        save_dir: the run folder; the run is called by its name.
        purge_step: None at the start; a resumed run is continued.
        store: folder of mlflow.db (SQLite) and of the pictures.
        experiment: where the run is filed.
    """

    package = "mlflow"

    def __init__(
        self,
        save_dir: str,
        purge_step: int | None = None,
        store: str = "runs/mlflow",
        experiment: str = "gan_lab",
    ) -> None:
        super().__init__()
        self.folder = Path(save_dir).absolute()
        self.resumed = purge_step is not None
        self.store = Path(store).absolute()
        self.experiment_name = experiment
        self._client: Any = None
        self.run_id: str | None = None

    @property
    def name(self) -> str:
        return self.experiment_name

    @property
    def version(self) -> str | None:
        return self.run_id

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The `MlflowClient`; the run begins when it is first asked for."""
        if self._client is None:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # local means local
            from mlflow import MlflowClient

            self.store.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(f"sqlite:///{self.store / 'mlflow.db'}")
            self.run_id = self.find_or_create_run(self._client)
        return self._client

    def find_or_create_run(self, client: Any) -> str:
        known = client.get_experiment_by_name(self.experiment_name)
        place = (self.store / "artifacts").as_uri()
        files = (
            known.experiment_id
            if known
            else client.create_experiment(self.experiment_name, artifact_location=place)
        )
        if self.resumed:
            same = f"tags.`{FOLDER_TAG}` = '{self.folder}'"
            if found := client.search_runs([files], same, max_results=1):
                client.update_run(found[0].info.run_id, "RUNNING")
                return found[0].info.run_id
        tags = {FOLDER_TAG: str(self.folder)}
        return client.create_run(files, tags=tags, run_name=self.folder.name).info.run_id

    @rank_zero_only
    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        if not self.resumed:
            for key, value in params.items():
                self.experiment.log_param(self.run_id, key, value)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        from mlflow.entities import Metric

        client, now = self.experiment, int(time.time() * 1000)
        rows = [Metric(key, float(value), now, step or 0) for key, value in metrics.items()]
        client.log_batch(self.run_id, metrics=rows)

    @rank_zero_only
    def log_image(self, key: str, images: list[np.ndarray], step: int | None = None) -> None:
        """Pictures uint8 [H, W, C]."""
        for picture in images:
            self.experiment.log_image(self.run_id, picture, key=key, step=step)

    @rank_zero_only
    def conclude(self, status: str) -> None:
        if self._client is not None:
            self._client.set_terminated(self.run_id, STATUS.get(status, "FAILED"))
