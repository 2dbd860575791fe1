"""What the doctor advises is never refused: each remedy composes and builds beside its recipe."""

import pytest
from omegaconf import OmegaConf

from gan_lab.launch import assemble
from gan_lab.launch.entry import CONF, compose_run
from gan_lab.launch.messages import flatten
from gan_lab.training.remedies import remedies
from gan_lab.training.verdicts import Verdict
from tests.pairs import narrow

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_remedy_builds(name: str) -> None:
    config, _ = compose_run("train", [f"experiment={name}"])
    settings = flatten(OmegaConf.to_container(config, resolve=True))
    advised = {text for verdict in Verdict for text in remedies(verdict, settings)}
    for text in sorted(advised):
        tried, _ = compose_run("train", [f"experiment={name}", *text.split()])
        narrow(tried)
        assemble.build_module(tried)
