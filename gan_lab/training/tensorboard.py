"""TensorBoard events in the run folder, in one curve even after a resume."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from torch import Tensor

from gan_lab.training import storage

LOSSES = ["Multiline", ["discriminator/loss", "generator/loss"]]
BELIEF = ["Multiline", ["discriminator/real", "discriminator/fake"]]
GRADIENTS = ["Multiline", ["discriminator/gradient_norm", "generator/gradient_norm"]]
OUTCOMES = {"finished": api_pb2.STATUS_SUCCESS, "diverged": api_pb2.STATUS_FAILURE}
OPEN_COLUMNS = 5  # hyperparameters that the HPARAMS tab shows before a box is ticked


class RunTensorBoard(TensorBoardLogger):
    """Write into the run folder itself, with both players on one chart.

    Args:
        save_dir: the run folder.
        purge_step: images seen from which an earlier session's events are void; None at the start.
        metrics: scalars that the HPARAMS tab shows beside the hyperparameters, after those that
            the run is evaluated by.
    """

    def __init__(
        self,
        save_dir: str,
        purge_step: int | None = None,
        metrics: Sequence[str] = ("discriminator/loss", "generator/loss"),
    ) -> None:
        super().__init__(
            save_dir, name="", version="", default_hp_metric=False, purge_step=purge_step
        )
        self.resumed = purge_step is not None
        self.metrics = metrics
        self.settings: dict[str, Any] = {}  # waits for the first metric: no row without a number

    @property
    def experiment(self) -> Any:
        first = self._experiment is None
        writer = super().experiment
        if first and hasattr(writer, "file_writer"):
            writer.file_writer.event_writer = EventLog(writer.file_writer.event_writer)
        if first and hasattr(writer, "add_custom_scalars") and not self.resumed:
            charts = {"losses": LOSSES, "belief": BELIEF, "gradient norms": GRADIENTS}
            writer.add_custom_scalars({"both players": charts})
        return writer

    @rank_zero_only
    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Keep them, the first ones to be seen first; a resumed run has its row already."""
        self.settings = {} if self.resumed else dict(params)

    @rank_zero_only
    def expect(self, names: Sequence[str]) -> None:
        """Show what the run will be evaluated by before all else; asked before the first metric."""
        self.metrics = tuple(dict.fromkeys([*names, *self.metrics]))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics(metrics, step)
        if self.settings and any(math.isfinite(metrics.get(m, math.nan)) for m in self.metrics):
            self.add(metadata.EXPERIMENT_TAG, experiment=columns(self.settings, self.metrics))
            self.add(metadata.SESSION_START_INFO_TAG, session_start_info=row(self.settings))
            self.settings = {}
        self.save()

    @rank_zero_only
    def log_image(self, key: str, images: list[np.ndarray], step: int | None = None) -> None:
        """Pictures uint8 [H, W, C]."""
        for picture in images:
            self.experiment.add_image(key, picture, step, dataformats="HWC")
        self.save()

    @rank_zero_only
    def log_verdict(self, text: str, step: int) -> None:
        """What the health monitor has to say, in Markdown."""
        self.experiment.add_text("verdict", text, step)
        self.save()

    @rank_zero_only
    def log_embedding(self, key: str, points: Tensor, images: Tensor, step: int) -> None:
        """Points [N, D] of the projector, each shown as its picture of uint8 [N, C, H, W]."""
        pictures = images.expand(-1, 3, -1, -1).float() / 255
        self.experiment.add_embedding(points, label_img=pictures, global_step=step, tag=key)

    @rank_zero_only
    def save(self) -> None:
        """Flush, so that a killed run has shown what it did; Lightning would add hparams.yaml."""
        self.experiment.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Leave the file open: the run's last grid is still to come, then `conclude`."""
        self.save()

    @rank_zero_only
    def conclude(self, status: str) -> None:
        """Let the HPARAMS tab say how the run ended, and close the file."""
        if self._experiment is None:
            return
        if status in OUTCOMES:
            end = plugin_data_pb2.SessionEndInfo(status=OUTCOMES[status], end_time_secs=time.time())
            self.add(metadata.SESSION_END_INFO_TAG, session_end_info=end)
        self.experiment.close()

    def add(self, tag: str, **content: Any) -> None:
        """Write one message for the HPARAMS tab."""
        data = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content))
        value = Summary.Value(tag=tag, metadata=data, tensor=metadata.NULL_TENSOR)
        self.experiment.file_writer.add_summary(Summary(value=[value]))


class EventLog:
    """Goes on with an event file without tensorboard's thread, which a full disk ends for good."""

    def __init__(self, writer: Any) -> None:
        writer.close()
        self.folder = writer.get_logdir()
        self.journal = storage.Journal(Path(writer._file_name))
        self.records = RecordWriter(self.journal)

    def add_event(self, event: Any) -> None:
        self.records.write(event.SerializeToString())

    def flush(self) -> None:
        self.journal.flush()

    def get_logdir(self) -> str:
        return self.folder

    def reopen(self) -> None:
        """Nothing was closed."""

    close = flush


def event_files(folder: Path) -> dict[str, int]:
    """Name -> bytes of the run's event files, as a checkpoint keeps them."""
    return {path.name: path.stat().st_size for path in folder.glob("events.out.tfevents.*")}


def rewind(folder: Path, known: Mapping[str, int]) -> None:
    """Cut the event files to what a checkpoint knows of them: a killed session wrote more."""
    for name, size in event_files(folder).items():
        if name not in known:
            (folder / name).unlink()
        elif size > known[name]:
            os.truncate(folder / name, known[name])


def columns(settings: Mapping[str, Any], metrics: Sequence[str]) -> api_pb2.Experiment:
    """What the HPARAMS tab shows; it opens with the columns that are said to differ."""
    infos = [
        api_pb2.HParamInfo(
            name=name,
            type=api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64,
            differs=i < OPEN_COLUMNS,
        )
        for i, (name, value) in enumerate(settings.items())
    ]
    shown = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics]
    return api_pb2.Experiment(hparam_infos=infos, metric_infos=shown)


def row(settings: Mapping[str, Any]) -> plugin_data_pb2.SessionStartInfo:
    """One run's values; without a group name the row is called by the run's folder."""
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
    for name, value in settings.items():
        kind = "string_value" if isinstance(value, str) else "number_value"
        setattr(start.hparams[name], kind, value)
    return start
