"""The axes compose: any two options step together, or are refused with a reason and a way out."""

import pytest

from gan_lab import UserError
from gan_lab.launch.entry import compose_run
from gan_lab.launch.refusals import REFUSALS
from tests import pairs
from tests.conftest import sampled
from tests.pairs import Pair


@pytest.mark.parametrize("pair", sampled(pairs.singles(), 6), ids=str)
def test_every_option_steps_beside_the_defaults(pair: Pair) -> None:
    check(pair)


@pytest.mark.parametrize("pair", sampled(pairs.pairs(), 150), ids=str)
def test_every_two_options_step_or_are_refused(pair: Pair) -> None:
    check(pair)


def test_every_rule_stands_in_the_document() -> None:
    text = pairs.DOCUMENT.read_text()
    missing = [rule.what for rule in REFUSALS if f"| {rule.what} |" not in text]
    assert not missing, f"run python -m tests.pairs: {missing}"


HALVES = {
    "conditioning=embedding conditioning.generator=none": "a critic that is told labels",
    "conditioning=embedding conditioning.discriminator=none": "labels which nobody looks at",
    "conditioning=none conditioning.code={categorical:[10]}": "a code that nobody recovers",
    "conditioning=infogan networks=dirac data=dirac": "knows nothing of",
    "conditioning=embedding data.classes=[3,7]": "labels of which only some occur",
    "objective=wasserstein penalty=gradient_penalty penalty.gradient_penalty.weight=0": "bounds",
    "augment=ada objective=relativistic_paired": "adaptive augmentation",
    "optimizer=extra_adam n_critic=2": "a lookahead with n_critic",
}


@pytest.mark.parametrize("given", HALVES)
def test_half_a_game_is_refused(given: str) -> None:
    config, _ = compose_run("train", [*pairs.SMALL, *given.split()])
    with pytest.raises(UserError, match=f"{HALVES[given]}.*; use "):
        pairs.step(config)


def test_a_lookahead_of_one_player_is_refused() -> None:
    config, _ = compose_run("train", [*pairs.SMALL, "optimizer=extra_adam"])
    other, _ = compose_run("train", [*pairs.SMALL, "optimizer=adam"])
    config.optimizer.generator = other.optimizer.generator
    with pytest.raises(UserError, match="a lookahead of one player alone"):
        pairs.step(config)


def check(pair: Pair) -> None:
    """A refusal is one line with a way out, and stands in the document."""
    found = pairs.outcome(pair)
    listed = dict(listed_refusals())
    if found in (None, "stepped"):
        assert str(pair) not in listed, f"{pair} is listed as refused; run python -m tests.pairs"
        return
    assert "use " in found or "; set " in found or "; give " in found, found
    assert listed.get(str(pair)) == found, f"{pair}: run python -m tests.pairs"


def listed_refusals() -> list[tuple[str, str]]:
    """(pair, message) of the document's last section."""
    found, message = [], ""
    for line in pairs.DOCUMENT.read_text().split("## The pairs")[1].splitlines():
        if line.startswith("**"):
            message = line.strip("*")
        elif line.startswith("- `"):
            found.append((line.removeprefix("- ").strip("`"), message))
    return found
