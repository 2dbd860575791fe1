"""Event files read back: scalars, grids, shared charts, the comparison of runs, the projector."""

import os
import signal
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups, metadata

from gan_lab.launch.assemble import build_data
from gan_lab.launch.entry import compose_run, guarded
from gan_lab.train import train
from gan_lab.training.callbacks import evaluation
from gan_lab.training.callbacks.samples import Samples
from gan_lab.training.tensorboard import RunTensorBoard
from tests.conftest import run_train

LOSSES = ("discriminator/loss", "generator/loss")


def events_of(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0, "scalars": 0})
    return events.Reload()


def table_of(logdir: Path) -> dict[str, api_pb2.SessionGroup]:
    """The rows of the HPARAMS tab, by the tab's own code."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(logdir)).Reload()
    provider = MultiplexerDataProvider(runs, str(logdir))
    context = backend_context.Context(TBContext(data_provider=provider, logdir=str(logdir)))
    statuses = [value.number for value in api_pb2.Status.DESCRIPTOR.values]
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=100, allowed_statuses=statuses
    )
    for tag in LOSSES:
        request.col_params.add(metric=api_pb2.MetricName(tag=tag), include_in_result=True)
    for name in ("optimizer.generator.lr", "networks"):
        request.col_params.add(hparam=name, include_in_result=True)
    handler = list_session_groups.Handler(
        request_context=RequestContext(),
        backend_context=context,
        experiment_id="",
        request=request,
    )
    return {group.name: group for group in handler.run().session_groups}


def test_scalars_and_grids_are_complete(finished_run: Path) -> None:
    events = events_of(finished_run)
    assert [e.step for e in events.Scalars("discriminator/loss")] == [16, 128, 256]
    assert [e.step for e in events.Images("samples")] == [0, 128, 256]
    last = events.Images("samples")[-1]
    assert (last.width, last.height) == (8 * 30 + 2, 8 * 30 + 2)
    assert len(list(finished_run.glob("events.out.tfevents.*"))) == 1
    assert not (finished_run / "hparams.yaml").exists()


def test_both_losses_stand_on_one_chart(finished_run: Path) -> None:
    (event,) = events_of(finished_run).Tensors("custom_scalars__config__")
    layout = Layout.FromString(event.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for chart in layout.category[0].chart}
    assert charts["losses"] == ["discriminator/loss", "generator/loss"]
    scalars = set(events_of(finished_run).Tags()["scalars"])
    assert all(scalars >= set(tags) for tags in charts.values())


@pytest.mark.slow
def test_the_tab_compares_the_runs_of_a_sweep(tmp_path: Path) -> None:
    for rate in ("1e-4", "3e-4"):
        folder = tmp_path / f"generator.lr_{rate}"
        assert run_train(folder, f"optimizer.generator.lr={rate}", "trainer.max_epochs=1") == 0
    rows = table_of(tmp_path)
    assert set(rows) == {"generator.lr_1e-4", "generator.lr_3e-4"}
    for name, row in rows.items():
        assert row.hparams["optimizer.generator.lr"].number_value == float(name[-4:])
        assert row.hparams["networks"].string_value == "dcgan"
        assert row.sessions[0].status == api_pb2.STATUS_SUCCESS
        values = {metric.name.tag: metric.value for metric in row.metric_values}
        for tag in LOSSES:
            assert values[tag] == pytest.approx(
                events_of(tmp_path / name).Scalars(tag)[-1].value, abs=1e-6
            )


def test_the_tab_opens_with_the_first_settings(tmp_path: Path) -> None:
    logger = RunTensorBoard(str(tmp_path), metrics=["generator/loss"])
    logger.log_hyperparams(
        {"ema.half_life": 500.0, "networks": "mlp", "c": 1, "d": 1, "e": 1} | {"f": 1}
    )
    logger.log_metrics({"generator/loss": 0.5}, step=16)
    content = events_of(tmp_path).PluginTagToContent(metadata.PLUGIN_NAME)
    experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
    shown = {info.name for info in experiment.hparam_infos if info.differs}
    assert shown == {"ema.half_life", "networks", "c", "d", "e"}
    assert [info.name.tag for info in experiment.metric_infos] == ["generator/loss"]


MEASURED = {
    "data=fake": ["val/recall", "val/fid"],
    "data=ring": ["val/mode_misses", "val/modes", "val/high_quality", "val/mode_kl"],
}


@pytest.mark.parametrize("data", MEASURED)
def test_the_tab_shows_what_the_run_is_evaluated_by(data: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluation, "find_weights", lambda data: None)
    monkeypatch.setattr(evaluation, "load_extractor", lambda weights: None)
    module = build_data(compose_run("train", [data])[0])
    module.setup("fit")
    logger = RunTensorBoard(str(tmp_path), metrics=LOSSES)
    logger.log_hyperparams({"seed": 0})
    trainer = SimpleNamespace(
        default_root_dir=tmp_path, is_global_zero=True, datamodule=module, loggers=[logger, 3]
    )
    measuring: Any = evaluation.Evaluation(["fid", "recall"], monitor="recall")
    measuring.setup(trainer, None, "fit")
    logger.log_metrics({"generator/loss": 0.5}, step=16)
    content = events_of(tmp_path).PluginTagToContent(metadata.PLUGIN_NAME)
    experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
    assert [info.name.tag for info in experiment.metric_infos] == [*MEASURED[data], *LOSSES]


def test_what_cannot_be_measured_has_no_column(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(evaluation.Evaluation, "prepare", lambda self, data: None)
    logger = RunTensorBoard(str(tmp_path), metrics=LOSSES)
    trainer = SimpleNamespace(
        default_root_dir=tmp_path, is_global_zero=True, datamodule=None, loggers=[logger]
    )
    measuring: Any = evaluation.Evaluation(["fid"])
    measuring.setup(trainer, None, "fit")
    assert tuple(logger.metrics) == LOSSES


def test_a_run_without_a_metric_has_no_row(tmp_path: Path) -> None:
    logger = RunTensorBoard(str(tmp_path / "run"))
    logger.log_hyperparams({"seed": 0})
    logger.log_metrics({"discriminator/loss": float("nan"), "seconds": 0.0}, step=16)
    logger.conclude("diverged")
    assert not table_of(tmp_path)


@pytest.mark.slow
def test_a_resumed_run_has_no_duplicates(tmp_path: Path, monkeypatch) -> None:
    recipe = ["trainer.log_every_n_steps=3", "callbacks.samples.every=64"]
    assert run_train(tmp_path / "whole", *recipe) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 176)  # seen one batch later
        assert run_train(tmp_path / "parts", *recipe) == 143
        log_beyond_the_checkpoint(tmp_path / "parts")
    assert guarded("train", train, [f"resume={tmp_path / 'parts'}"]) == 0
    assert len(list((tmp_path / "parts").glob("events.out.tfevents.*"))) > 1
    whole, parts = (events_of(tmp_path / name) for name in ("whole", "parts"))
    for tag in set(whole.Tags()["scalars"]) - {"images_per_second"}:  # unknown in a first row
        assert [e.step for e in whole.Scalars(tag)] == [e.step for e in parts.Scalars(tag)], tag
    assert [e.step for e in whole.Images("samples")] == [e.step for e in parts.Images("samples")]
    assert len(parts.Tensors("custom_scalars__config__")) == 1
    starts = Counter(event.tag for event in summaries_of(tmp_path / "parts"))
    assert starts[metadata.SESSION_START_INFO_TAG] == starts[metadata.SESSION_END_INFO_TAG] == 1
    assert set(table_of(tmp_path)) == {"whole", "parts"}


def stop_after(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    """Send SIGTERM to ourselves once so many images have been seen."""
    original = Samples.on_train_batch_end

    def end(self: Samples, trainer, module, *rest) -> None:
        if module.images_seen == images:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, trainer, module, *rest)

    monkeypatch.setattr(Samples, "on_train_batch_end", end)


def log_beyond_the_checkpoint(folder: Path) -> None:
    """What a session leaves that is killed some time after its last checkpoint."""
    logger = RunTensorBoard(str(folder), purge_step=193)
    logger.log_metrics({"discriminator/loss": 0.5, "generator/loss": 0.5}, step=240)
    logger.log_image("samples", [np.zeros((4, 4, 1), np.uint8)], step=250)


def summaries_of(folder: Path) -> list:
    """All values of all event files, purged or not."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    files = sorted(map(str, folder.glob("events.out.tfevents.*")))
    return [
        value for f in files for event in EventFileLoader(f).Load() for value in event.summary.value
    ]


@pytest.mark.slow
def test_the_projector_shows_samples_and_latents(tmp_path: Path) -> None:
    wanted = ["callbacks=[default,projector]", "callbacks.projector.num_images=20"]
    assert run_train(tmp_path, *wanted, "trainer.max_epochs=1") == 0
    config = (tmp_path / "projector_config.pbtxt").read_text()
    for name, dimensions in (("samples", 16 * 16), ("latents", 100)):
        assert f'tensor_path: "00128/{name}/tensors.tsv"' in config
        points = np.loadtxt(tmp_path / "00128" / name / "tensors.tsv", delimiter="\t")
        assert points.shape == (20, dimensions)
        with Image.open(tmp_path / "00128" / name / "sprite.png") as sprite:
            assert sprite.size == (5 * 28, 5 * 28)
            first = np.asarray(sprite.convert("L"))[:28, :28]
    with Image.open(tmp_path / "samples" / "images_0000000128.png") as grid:
        assert (np.abs(first.astype(int) - np.asarray(grid)[2:30, 2:30]) <= 1).all()
