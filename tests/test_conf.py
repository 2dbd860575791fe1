"""Every YAML file of conf/ composes, builds and trains; a new one is tested without a word here."""

import inspect
import re
from itertools import combinations, product
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from pytorch_lightning import Trainer

from gan_lab.launch.entry import CONF, compose_run, guarded
from gan_lab.launch.schema import conform_node
from gan_lab.launch.searching import settings
from gan_lab.train import train
from tests.conftest import NARROW, sampled


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


APART = ("data", "hydra", "sweep", "table")  # tested otherwise, or no group of train
GROUPS = sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name not in APART)
OPTIONS = [f"{group}={option}" for group in GROUPS for option in options(group)]
PROGRAMS = sorted(path.stem for path in CONF.glob("*.yaml"))
EXPERIMENTS = options("experiment")
SMALL = ["data=fake", "data.batch_size=16", "trainer.max_time=null", "trainer.max_epochs=1"]
SMALL += ["trainer.limit_train_batches=2", "trainer.enable_progress_bar=false"]


def train_small(folder: Path, *choices: str) -> int:
    return guarded("train", train, [f"hydra.run.dir={folder}", *SMALL, *choices])


@pytest.mark.parametrize("choice", sampled(OPTIONS, 40))
def test_every_option_trains_two_steps(choice: str, tmp_path: Path, monkeypatch) -> None:
    group, option = choice.split("=")
    if group == "logger" and option in ("wandb", "mlflow"):
        pytest.importorskip(option, reason=f"pip install 'gan_lab[{option}]'")
    monkeypatch.chdir(tmp_path)  # where MLflow's store goes
    assert train_small(tmp_path / "run", choice) == 0


def latin_square() -> list[tuple[str, str, str]]:
    """Networks, optimizer, objective: any two options meet in some run, as three need not."""
    groups = [options(group) for group in ("networks", "optimizer", "objective")]
    size = max(map(len, groups))
    lines = [[group[place % len(group)] for place in range(size)] for group in groups]
    cells = product(range(size), repeat=2)
    return sorted({(lines[0][i], lines[1][j], lines[2][(i + j) % size]) for i, j in cells})


@pytest.mark.parametrize(("networks", "optimizer", "objective"), latin_square())
@pytest.mark.slow
def test_options_combine(networks: str, optimizer: str, objective: str, tmp_path: Path) -> None:
    choices = [f"networks={networks}", f"optimizer={optimizer}", f"objective={objective}"]
    assert train_small(tmp_path / "run", *choices, *NARROW.get(networks, [])) == 0


@pytest.mark.parametrize(
    "path", sampled(sorted((CONF / "data").glob("*.yaml")), 4), ids=lambda p: p.stem
)
def test_every_data_option_fits_its_signature(path: Path) -> None:
    config, _ = compose_run("train", [f"data={path.stem}"])
    conform_node(OmegaConf.to_container(config.data, resolve=True), "data")


@pytest.mark.parametrize("name", sampled(options("sweep"), 3))
def test_every_space_fits_the_default_experiment(name: str) -> None:
    config, _ = compose_run("sweep", [f"sweep={name}"])
    given = settings.read(config, lambda overrides: compose_run("train", overrides)[0])
    assert given.study == name  # and so its folder
    assert given.space


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_composes(name: str) -> None:
    compose_run(name, [])


def test_every_flag_of_the_trainer_is_listed() -> None:
    flags = set(inspect.signature(Trainer.__init__).parameters) - {"self"}
    listed = set(OmegaConf.load(CONF / "trainer" / "default.yaml"))
    assert listed == flags


def test_the_default_is_the_default_experiment() -> None:
    plain, named = (compose_run("train", o)[0] for o in ([], ["experiment=dcgan_mnist"]))
    assert OmegaConf.to_container(plain, resolve=True) == OmegaConf.to_container(
        named, resolve=True
    )


@pytest.mark.parametrize("name", sampled(EXPERIMENTS, 6))
def test_experiments_say_their_command_and_name_their_runs(name: str) -> None:
    text = (CONF / "experiment" / f"{name}.yaml").read_text()
    assert f"experiment={name}" in "".join(text.splitlines()[:3])
    config, folder = compose_run("train", [f"experiment={name}"])
    assert config.name == name
    assert folder.parts[:2] == ("runs", name)


def test_any_two_options_meet() -> None:
    groups = [options(group) for group in ("networks", "optimizer", "objective")]
    for one, other in combinations(range(3), 2):
        met = {(triple[one], triple[other]) for triple in latin_square()}
        assert met == set(product(groups[one], groups[other]))


@pytest.mark.parametrize("name", sampled(EXPERIMENTS, 6))
def test_time_replaces_the_default_epochs(name: str) -> None:
    timed, _ = compose_run("train", [f"experiment={name}", "trainer.max_time=00:00:05:00"])
    assert timed.trainer.max_epochs is None
    both, _ = compose_run(
        "train", [f"experiment={name}", "trainer.max_time=00:00:05:00", "trainer.max_epochs=3"]
    )
    assert both.trainer.max_epochs == 3


def test_comments_explain_every_option() -> None:
    for path in CONF.rglob("*.yaml"):
        assert re.match(r"# \S", path.read_text()), f"{path} does not start with a comment"
