"""The house: a room imports only from rooms above it, and never a program."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gan_lab"
ROOMS = ["data", "networks", "objectives", "metrics", "training", "launch"]  # in data-flow order
FILES = sorted(PACKAGE.rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "gan_lab"}


def room_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_only_from_above(path: Path) -> None:
    place = path.relative_to(PACKAGE).parts
    if place[0] not in ROOMS:
        return  # a program may import any room
    allowed = ROOMS[: ROOMS.index(place[0]) + 1]
    programs = {p.stem for p in PACKAGE.glob("*.py")}
    for name in imported_modules(path):
        parts = name.split(".")
        assert parts[1] not in programs - {"__init__"}, f"{path} imports the program {name}"
        assert room_of(name) in (None, *allowed), f"{path} imports {name} from a room below"


def test_every_folder_is_a_room() -> None:
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders - {"conf"} == set(ROOMS)


def test_only_training_and_launch_know_lightning() -> None:
    """Networks and objectives are tested in milliseconds because nothing heavy is in them."""
    for path in FILES:
        if path.relative_to(PACKAGE).parts[0] in ("networks", "objectives"):
            assert "lightning" not in path.read_text().lower().replace("without lightning", "")


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda p: p.stem)
def test_programs_import_nothing_heavy_at_the_top(path: Path) -> None:
    """`--help` must answer at once, so torch comes in only when a program starts to work."""
    heavy = {"torch", "pytorch_lightning", "torchvision", "numpy"}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            assert not heavy & {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in heavy
