"""Games of two parameters, through `train` and beside it."""

import csv
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_lab import UserError
from gan_lab.evaluate import evaluate
from gan_lab.launch.assemble import build_module
from gan_lab.launch.entry import CONF, compose_run, guarded
from gan_lab.metrics.game import Fate, Game, Updates, fate_of, theory
from gan_lab.networks.dirac import Discriminator, Generator
from gan_lab.objectives.augment import Identity
from gan_lab.objectives.losses import NonSaturating
from gan_lab.objectives.objective import Objective
from gan_lab.objectives.penalties import R1, WeightClipping
from gan_lab.train import train
from gan_lab.training.blackboard import Bout
from gan_lab.training.callbacks.phase_portrait import PhasePortrait
from tests.conftest import run_generate, run_train
from tests.metrics.test_game import Wasserstein

REAL = torch.zeros(8, 1)
QUIET = ["trainer.enable_progress_bar=false", "logger=csv"]


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


EXPERIMENTS = [name for name in options("experiment") if name.startswith("dirac_")]


def play(loss, penalties=None, count: int = 400, lr: float = 0.1, **given) -> torch.Tensor:
    descent = partial(torch.optim.SGD, lr=lr)
    optimizers: Any = {"generator": descent, "discriminator": descent}
    objective = Objective(loss, penalties or {}, Identity())
    players = Generator((1,)), Discriminator(offset=loss.threshold)
    return Bout(*players, objective, optimizers, REAL, **given).play(count)


def train_dirac(folder: Path, *overrides: str) -> int:
    return guarded("train", train, [f"hydra.run.dir={folder}", *QUIET, *overrides])


def told(folder: Path) -> dict:
    return json.loads((folder / "game.json").read_text())


def path_of(folder: Path) -> torch.Tensor:
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return content["callbacks"]["PhasePortrait"]["path"]


def test_both_at_once_drift_apart_by_the_spectral_radius() -> None:
    path = play(Wasserstein(), simultaneous=True)
    expected = math.sqrt(2) * (1 + 0.1**2) ** (0.5 * torch.arange(401))
    torch.testing.assert_close(path.norm(dim=1), expected.double(), rtol=1e-4, atol=0)


def test_in_turn_they_stay_on_an_ellipse() -> None:
    """An update in turn keeps theta^2 + psi^2 - h theta psi as it is."""
    theta, psi = play(Wasserstein()).T
    kept = theta**2 + psi**2 - 0.1 * theta * psi
    torch.testing.assert_close(kept, torch.full_like(kept, 1.9), rtol=1e-4, atol=0)


def test_a_spiral_shrinks_by_the_spectral_radius() -> None:
    radius = theory(
        Game(
            Generator((1,)),
            Discriminator(),
            Objective(NonSaturating(), {"r1": R1(0.4)}, Identity()),
            REAL,
        ),
        Updates((0.1, 0.1)),
    ).radius["alternating"]
    away = play(NonSaturating(), {"r1": R1(0.4)}).norm(dim=1)
    measured = (away[380:].max() / away[180:200].max()) ** (1 / 200)
    assert measured.item() == pytest.approx(radius, abs=1e-3)


@pytest.mark.slow
def test_a_clipped_critic_stays_in_its_box() -> None:
    path = play(Wasserstein(), {"clip": WeightClipping(0.25)}, count=2000)
    assert path[1:, 1].abs().max().item() == pytest.approx(0.25)
    assert fate_of(path, torch.zeros(2).double()) is Fate.CIRCLES


def test_an_end_in_infinity_ends_the_path() -> None:
    path = play(Wasserstein(), simultaneous=True, lr=50.0)
    assert len(path) < 401
    assert fate_of(path, torch.zeros(2).double()) is Fate.DIVERGES


PARTS = [("objective", name) for name in options("objective")]
PARTS += [("penalty", name) for name in options("penalty")]
PARTS += [("augment", name) for name in options("augment")]


@pytest.mark.parametrize(("group", "name"), PARTS)
@pytest.mark.slow
def test_every_option_has_a_field(group: str, name: str) -> None:
    config, _ = compose_run("train", ["experiment=dirac_nsgan", f"{group}={name}"])
    try:
        module = build_module(config)
    except UserError:
        assert group != "objective"  # what moves pixels says that a point has none
        return
    game = Game(module.generator, module.discriminator, module.objective, REAL)
    point = torch.tensor([0.7, -0.4]).double()
    field = game.field(point)
    assert field.isfinite().all()
    assert field.abs().max() > 0.01
    assert game.jacobian(point).isfinite().all()
    assert torch.equal(game.field(point), field)  # nothing is remembered from look to look


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_does_what_it_says(name: str, tmp_path: Path) -> None:
    assert train_dirac(tmp_path / "run", f"experiment={name}") == 0
    said = told(tmp_path / "run")
    text = (CONF / "experiment" / f"{name}.yaml").read_text().split("defaults:")[0]
    assert said["measured"]["verdict"] in text
    assert said["measured"]["steps"] == 2000
    assert said["agree"] is not False
    assert (tmp_path / "run" / "phase_portrait.png").stat().st_size > 10_000


SHORT = ["experiment=dirac_r1", "data.source.num_points=2400", "penalty.r1.interval=2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dirac") / "run"
    assert train_dirac(folder, *SHORT) == 0
    return folder


@pytest.mark.slow
def test_a_run_leaves_its_portrait_and_verdict(run: Path) -> None:
    said = told(run)
    values = [complex(*value) for value in said["eigenvalues"]]
    root = 1j * math.sqrt(0.75)
    assert values == pytest.approx([(-0.5 + root) / 2, (-0.5 - root) / 2], abs=1e-6)
    assert said["theory"]["continuous"] == said["measured"]["verdict"] == "converges"
    assert said["theory"]["alternating"]["spectral_radius"] < 1
    assert said["agree"] is True
    assert said["measured"]["start"] == {"place": [1, 1], "distance": pytest.approx(2**0.5)}
    assert said["measured"]["end"]["distance"] < 1e-2
    assert (run / "phase_portrait.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_every_step_is_recorded_and_is_that_of_the_loop_beside_it(run: Path) -> None:
    module = build_module(compose_run("train", SHORT)[0])
    parts = module.generator, module.discriminator, module.objective
    assert torch.equal(path_of(run), Bout(*parts, module.optimizer_factories, REAL).play(600))


@pytest.mark.slow
def test_training_does_not_notice(run: Path, tmp_path: Path) -> None:
    given = [*SHORT, "callbacks.phase_portrait=null"]
    assert train_dirac(tmp_path / "run", *given) == 0
    one, two = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (run, tmp_path / "run")
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not (tmp_path / "run" / "game.json").exists()


@pytest.mark.slow
def test_a_resumed_run_keeps_its_path(run: Path, tmp_path: Path) -> None:
    assert train_dirac(tmp_path / "run", *SHORT, "trainer.max_epochs=1") == 0
    first = path_of(tmp_path / "run")
    assert len(first) == 301
    more = [f"resume={tmp_path / 'run'}", "trainer.max_epochs=2"]
    assert guarded("train", train, more) == 0
    assert torch.equal(path_of(tmp_path / "run"), path_of(run))
    assert told(tmp_path / "run") == told(run)


@pytest.mark.parametrize("name", sorted({*options("optimizer")} - {"gradient_descent"}))
@pytest.mark.slow
def test_other_optimizers_have_no_theory_of_steps(name: str, tmp_path: Path) -> None:
    given = ["experiment=dirac_nsgan", f"optimizer={name}", "data.source.num_points=160"]
    assert train_dirac(tmp_path / "run", *given) == 0
    said = told(tmp_path / "run")
    assert said["theory"] == {"continuous": "circles", "alternating": None}
    module = build_module(compose_run("train", given)[0])
    parts = module.generator, module.discriminator, module.objective
    assert torch.equal(
        path_of(tmp_path / "run"), Bout(*parts, module.optimizer_factories, REAL).play(40)
    )


def test_other_networks_have_no_portrait(tmp_path: Path, capsys) -> None:
    given = ["callbacks=[default,phase_portrait]", "trainer.max_epochs=1", "callbacks.samples=null"]
    assert run_train(tmp_path / "run", *given) == 0
    assert "no phase portrait: networks.generator has" in capsys.readouterr().out
    assert not (tmp_path / "run" / "game.json").exists()


@pytest.mark.slow
def test_a_divergent_run_has_a_portrait(tmp_path: Path) -> None:
    rates = ["optimizer.generator.lr=1e30", "optimizer.discriminator.lr=1e30"]
    given = ["experiment=dirac_wgan", "trainer.log_every_n_steps=1", *rates]
    assert train_dirac(tmp_path / "run", *given) == 1
    assert told(tmp_path / "run")["measured"]["verdict"] == "diverges"


def test_the_programs_take_a_point(run: Path, tmp_path: Path) -> None:
    assert run_generate(f"checkpoint={run}", f"output={tmp_path / 'a.png'}", "num_images=20") == 0
    given = [f"checkpoint={run}", f"output={tmp_path / 'a.json'}"]
    assert guarded("evaluate", evaluate, given) == 0
    entry = json.loads((tmp_path / "a.json").read_text())["metrics"]["high_quality"]
    assert (entry["value"], entry["floor"]) == (1, 1)
    assert entry["ceiling"] < 0.2


def test_the_usual_callbacks_can_watch_it(tmp_path: Path) -> None:
    given = ["data=dirac", "networks=dirac", "trainer.max_epochs=1", "data.source.num_points=800"]
    more = ["callbacks.health.every=200", "callbacks.evaluation.num_images=50"]
    assert train_dirac(tmp_path / "run", *given, *more) == 0
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert any(row.get("val/modes") for row in csv.DictReader(file))


@pytest.mark.parametrize("arrows", [2, 102])
def test_arrows(arrows: int) -> None:
    with pytest.raises(UserError, match=f"arrows={arrows} must lie in 3 to 101"):
        PhasePortrait(arrows)
