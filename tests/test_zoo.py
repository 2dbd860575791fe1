"""docs/zoo.md has an entry and a picture of every recipe for images, and every axis' options."""

import importlib.util
import re
from pathlib import Path

import pytest

from gan_lab.launch.entry import CONF

ROOT = CONF.parent
TEXT = (ROOT / "docs" / "zoo.md").read_text()
AXES = ("objective", "penalty", "augment", "networks", "conditioning", "optimizer")


def recipes() -> list[str]:
    spec = importlib.util.spec_from_file_location("zoo", ROOT / "benchmarks" / "zoo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.recipes())


@pytest.mark.slow
def test_every_recipe_has_an_entry_and_a_picture() -> None:
    names = recipes()
    assert names
    without = [name for name in names if not re.search(rf"^### {name}$", TEXT, re.MULTILINE)]
    assert not without, f"docs/zoo.md has no entry of {without}"
    unseen = [
        name
        for name in names
        if f"(zoo/{name}.png)" not in TEXT or not (ROOT / "docs" / "zoo" / f"{name}.png").is_file()
    ]
    assert not unseen, f"run python benchmarks/zoo.py {' '.join(unseen)}"


@pytest.mark.parametrize("axis", AXES)
def test_every_option_is_described(axis: str) -> None:
    options = {path.stem for path in (CONF / axis).glob("*.yaml")} - {"none"}
    missing = sorted(option for option in options if f"`{option}`" not in TEXT)
    assert not missing, f"docs/zoo.md says nothing of {axis}={missing}"


def test_entries_are_of_recipes_that_exist() -> None:
    named = re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)
    existing = {path.stem for path in Path(CONF / "experiment").glob("*.yaml")}
    assert set(named) <= existing
