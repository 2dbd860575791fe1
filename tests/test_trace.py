"""The first losses of two tiny runs are those on record: a refactor must not change numbers.

Where a change is meant to, renew the record with `python -m tests.test_trace`, commit it
(tests/trace.json) with the change, and say so in CHANGELOG.md under **numbers**.
"""

import csv
import json
import tempfile
from pathlib import Path

import pytest

from gan_lab.launch.entry import guarded
from gan_lab.train import train
from tests.conftest import tiny

RECORD = Path(__file__).with_name("trace.json")
RUNS = ["dcgan", "mlp"]
COLUMNS = ["discriminator/loss", "discriminator/r1", "generator/loss"]
RECIPE = [  # of its own, so that a better default recipe leaves the record alone
    "objective=non_saturating",
    "penalty=r1",
    "penalty.r1={gamma: 0.2, interval: 8}",
    "optimizer=adam",
    "optimizer.generator={lr: 1e-3, betas: [0.0, 0.99]}",
    "optimizer.discriminator={lr: 1e-3, betas: [0.0, 0.99]}",
    "schedule=linear",
    "schedule={hold: 0.5, final: 0.0, warmup: 0.0}",
    "trainer.max_epochs=3",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
    "logger=csv",
]


def trace(networks: str, folder: Path) -> dict[str, list[float | None]]:
    """Each logged term in 24 steps (3 epochs of 8); of a lazy penalty, the value last computed."""
    arguments = [f"hydra.run.dir={folder}", *tiny(*RECIPE, networks=networks)]
    assert guarded("train", train, arguments) == 0
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["discriminator/loss"]]
    return {key: [float(row[key]) if row[key] else None for row in rows] for key in COLUMNS}


@pytest.mark.parametrize("networks", RUNS)
def test_losses_are_those_on_record(networks: str, tmp_path: Path) -> None:
    expected = json.loads(RECORD.read_text())[networks]
    found = trace(networks, tmp_path / "run")
    assert len(found["generator/loss"]) == 24
    for key in COLUMNS:
        # Other processors sum in another order, and 24 steps of Adam enlarge that a little.
        assert found[key] == [v and pytest.approx(v, rel=1e-3) for v in expected[key]], key


def renew() -> None:
    with tempfile.TemporaryDirectory() as folder:
        record = {networks: trace(networks, Path(folder) / networks) for networks in RUNS}
    rounded = json.loads(json.dumps(record), parse_float=lambda text: round(float(text), 6))
    RECORD.write_text(json.dumps(rounded, indent=1) + "\n")


if __name__ == "__main__":
    renew()
