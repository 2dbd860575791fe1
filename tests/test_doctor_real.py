"""The doctor on real digits: illnesses made on purpose are named, sound runs are not."""

import json
from pathlib import Path

import pytest

from gan_lab.doctor import doctor
from gan_lab.launch.entry import guarded
from gan_lab.train import train
from tests.conftest import REAL_DATA

SMALL = [
    "data=mnist",
    f"data.root={REAL_DATA}",
    "networks.generator.width=8",
    "networks.discriminator.width=8",
    "data.batch_size=64",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=625",  # 40,000 images
    "callbacks.health.every=8000",
    "callbacks.evaluation=null",
    "trainer.logger=false",
]
ILL = {
    "generator frozen": (["optimizer.generator.lr=0"], "not learning"),
    "no noise": (["networks.generator.latent_dim=1"], "mode collapse"),
    "critic of one filter": (["networks.discriminator.width=1"], "critic too weak"),
}
HEALTHY = {
    "default": [],
    "least squares": ["objective=least_squares", "seed=1"],
    "two updates of the critic": ["n_critic=2", "seed=2"],
}


def diagnosis(folder: Path, *overrides: str) -> dict:
    if not (Path(REAL_DATA) / "MNIST").exists():
        pytest.skip(f"MNIST is not at hand in {REAL_DATA}")
    assert guarded("train", train, [f"hydra.run.dir={folder}/run", *SMALL, *overrides]) == 0
    output = folder / "doctor.json"
    assert guarded("doctor", doctor, [f"run={folder}/run", f"output={output}"]) == 0
    return json.loads(output.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", ILL)
def test_an_illness_is_named_with_figures_and_overrides(name: str, tmp_path: Path) -> None:
    overrides, expected = ILL[name]
    found = diagnosis(tmp_path, *overrides)
    assert found["healthy"] is False
    assert expected in [finding["name"] for finding in found["findings"]]
    assert all(finding["try"] for finding in found["findings"])


@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_a_sound_run_is_called_healthy(name: str, tmp_path: Path) -> None:
    found = diagnosis(tmp_path, *HEALTHY[name])
    assert found["findings"] == []
    assert found["verdict"] in ("healthy", "converged")
