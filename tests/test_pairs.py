"""The axes compose: any two options step together, or are refused with a reason and a way out."""

import pytest

from tests import pairs
from tests.conftest import sampled
from tests.pairs import Pair


@pytest.mark.parametrize("pair", sampled(pairs.singles(), 3), ids=str)
def test_every_option_steps_beside_the_defaults(pair: Pair) -> None:
    check(pair)


@pytest.mark.parametrize("pair", sampled(pairs.pairs(), 60), ids=str)
def test_every_two_options_step_or_are_refused(pair: Pair) -> None:
    check(pair)


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
