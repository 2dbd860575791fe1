"""What each option of conf/debug/ does, on top of any experiment."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gan_lab.launch.entry import CONF, compose_run, guarded
from gan_lab.objectives.losses import NonSaturating
from gan_lab.train import train
from gan_lab.training.module import GAN
from tests.conftest import NARROW, TINY, run_train, sampled

FREE = [text for text in TINY if not text.startswith("trainer.max_epochs")]  # debug sets the budget


def debug(folder: Path, option: str, *overrides: str) -> int:
    choices = [f"hydra.run.dir={folder}", f"debug={option}", *FREE, *NARROW["dcgan"]]
    return guarded("train", train, [*choices, *overrides])


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each discriminator update saw."""
    seen: list[dict[str, Any]] = []
    original = GAN.update_discriminator

    def spy(self: GAN, real: Tensor, fake: Tensor, labels: Tensor, code: Any) -> dict[str, Tensor]:
        anomaly = torch.is_anomaly_enabled()
        seen.append({"real": real.clone(), "labels": labels, "fake": fake, "anomaly": anomaly})
        return original(self, real, fake, labels, code)

    monkeypatch.setattr(GAN, "update_discriminator", spy)
    return seen


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("option", sorted(path.stem for path in (CONF / "debug").glob("*.yaml")))
@pytest.mark.parametrize(
    "experiment", sampled(sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")), 30)
)
def test_composes_on_top_of_every_experiment(option: str, experiment: str) -> None:
    plain, _ = compose_run("train", [f"debug={option}"])
    config, _ = compose_run("train", [f"experiment={experiment}", f"debug={option}"])
    for key in ("overfit_batches", "limit_train_batches", "profiler", "detect_anomaly"):
        assert config.trainer[key] == plain.trainer[key]
    assert config.name == experiment


def test_one_batch_moves_both_players_and_ends(tmp_path: Path, steps: list) -> None:
    assert debug(tmp_path / "run", "one_batch") == 0
    assert len(steps) == 1
    assert result(tmp_path / "run")["images_seen"] == 16
    assert result(tmp_path / "run")["generator_updates"] == 1
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.slow
def test_overfit_repeats_its_batches_with_new_latents(tmp_path: Path, steps: list) -> None:
    assert debug(tmp_path / "run", "overfit", "trainer.max_epochs=6") == 0
    assert len(steps) == 6
    for step in steps[1:]:
        assert torch.equal(step["real"], steps[0]["real"])
        assert torch.equal(step["labels"], steps[0]["labels"])
        assert not torch.equal(step["fake"], steps[0]["fake"])


@pytest.mark.slow
def test_overfit_repeats_a_few_batches_in_turn(tmp_path: Path, steps: list) -> None:
    few = ["trainer.overfit_batches=3", "trainer.max_epochs=2"]
    assert debug(tmp_path / "run", "overfit", *few) == 0
    first, second = steps[:3], steps[3:]
    assert len(second) == 3
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a["real"], b["real"])
    assert not torch.equal(first[0]["real"], first[1]["real"])


@pytest.mark.slow
def test_overfit_learns_its_batch(tmp_path: Path) -> None:
    frozen = ["optimizer.generator.lr=0", "optimizer.discriminator.lr=1e-2"]
    assert debug(tmp_path / "run", "overfit", *frozen, "trainer.max_epochs=25") == 0
    assert result(tmp_path / "run")["last"]["discriminator/accuracy_real"] == 1


@pytest.mark.slow
def test_without_overfit_the_batches_differ(tmp_path: Path, steps: list) -> None:
    assert run_train(tmp_path / "run", "trainer.limit_train_batches=1") == 0
    assert len(steps) == 2
    assert not torch.equal(steps[0]["real"], steps[1]["real"])


@pytest.mark.parametrize("profiler", ["simple", "advanced"])
@pytest.mark.slow
def test_profiler_reports_into_the_run_folder(profiler: str, tmp_path: Path, capsys: Any) -> None:
    choice = [f"trainer.profiler={profiler}", "trainer.limit_train_batches=3"]
    assert debug(tmp_path / "run", "profiler", *choice) == 0
    report = (tmp_path / "run" / "fit-profile.txt").read_text()
    assert "run_training_batch" in report
    assert "train_dataloader_next" in report
    assert "train_dataloader_next" not in capsys.readouterr().out


@pytest.mark.slow
def test_anomaly_is_watched_for_in_every_step(tmp_path: Path, steps: list) -> None:
    choice = ["trainer.max_epochs=1", "callbacks.health=null"]
    assert debug(tmp_path / "run", "anomaly", *choice) == 0
    assert [step["anomaly"] for step in steps] == [True] * 8
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + 8
    assert not torch.is_anomaly_enabled()


def broken(self: NonSaturating, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
    return (0 * fake_logits).sqrt()  # 0, with a gradient of 0 * infinity


def test_anomaly_names_the_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NonSaturating, "generator", broken)
    with (
        pytest.warns(UserWarning, match=r"(?s)Traceback of forward call.*in broken"),
        pytest.raises(RuntimeError, match="returned nan values"),
    ):
        debug(tmp_path / "run", "anomaly")
    assert result(tmp_path / "run")["status"] == "failed"
