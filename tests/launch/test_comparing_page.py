"""The page: self-contained, whole without scripts, and nothing in it that a name could smuggle."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gan_lab.compare import compare
from gan_lab.launch.comparing.markup import Markup, tag, text
from gan_lab.launch.entry import guarded
from tests.launch.made_runs import RATES, make_grid, make_run, trial, write_study

EVIL = "<script>alert(1)</script>\"'&"
VOID = {"meta", "img", "source"}


class Reader(HTMLParser):
    """Checks that elements nest, and keeps what is in the page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text())
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep over both rates with a hostile run, a study of two objectives."""
    folder = tmp_path_factory.mktemp("compare")
    make_grid(folder / "sweep", (1e-3, 1e-2), (1e-3, 1e-2))
    command = [f"name={EVIL}"]
    keys = {RATES[0]: 1e-1, "objective.$x_{$_note": EVIL}  # and no formula for matplotlib
    make_run(folder / "sweep" / "evil", (9.0, 8.0), changes=keys, command=command)
    make_run(folder / "sweep" / "lost", (9.0,), status="diverged", changes={RATES[0]: 1.0})
    trials = [trial(k, [k, 9 - k], None, state="complete") for k in range(3)]
    content: dict[str, Any] = {
        "trials": trials,
        "metrics": ["fid", EVIL],
        "directions": ["minimize"] * 2,
    }
    write_study(folder / "study", content)
    make_run(folder / "study" / "run")
    content["trials"].append(trial(3, [4, 4], "run"))
    write_study(folder / "study", content)
    path = folder / "out" / "page.html"
    given = [f"runs=[{folder / 'sweep'},{folder / 'study'}]", f"output={path}"]
    assert guarded("compare", compare, [*given, "title='two <b>things</b>'"]) == 0
    return path


pytestmark = pytest.mark.slow


def test_it_needs_nothing_from_elsewhere(output: Path) -> None:
    page = read(output)
    pictures = page.all("img") + page.all("source")
    assert len(pictures) > 8
    for attributes in pictures:
        address = attributes.get("src") or attributes.get("srcset") or ""
        assert address.startswith("data:image/png;base64,")
        assert base64.b64decode(address.partition(",")[2]).startswith(b"\x89PNG")
    assert not page.all("link")
    assert not any("src" in attributes for attributes in page.all("script"))
    assert all(str(link["href"]).startswith("#") for link in page.all("a"))
    (policy,) = [a for a in page.all("meta") if a.get("http-equiv")]
    assert str(policy["content"]).startswith("default-src 'none'")


def test_every_chart_is_there_in_light_and_dark(output: Path) -> None:
    page = read(output)
    assert len(page.all("picture")) == len(page.all("source")) > 4
    assert "prefers-color-scheme: dark" in output.read_text()
    assert all(attributes.get("alt") for attributes in page.all("img"))


def test_names_stay_text(output: Path) -> None:
    page = read(output)
    assert len(page.all("script")) == 1
    assert not page.all("b")
    assert any(EVIL in words for words in page.words)
    assert "two <b>things</b>" in page.words


def test_the_table_is_whole_without_scripts(output: Path) -> None:
    page = read(output)
    keys = [attributes.get("data-key") for attributes in page.all("td")]
    assert "1e999" in keys  # what has no place sorts last
    assert not page.all("button")
    for label in ("1e-3", "0.01", "diverged"):
        assert label in page.words


def test_the_figures_are_in_the_json(output: Path) -> None:
    figures = json.loads(output.with_suffix(".json").read_text())
    first = figures["groups"][0]
    assert first["rows"][0]["place"] == 1
    assert first["rows"][0]["best"]["mean"] == pytest.approx(2)
    assert first["rows"][0]["curves"]["images"]["x"] == [1000, 2000]
    assert first["importance"]["shares"]
    assert figures["studies"][0]["pareto"] == [0, 1, 2, 3]
    assert {entry["status"] for entry in figures["unfinished"]} >= {"diverged"}


def test_the_pictures_lie_beside_it(output: Path) -> None:
    names = {path.name for path in output.with_suffix("").iterdir()}
    assert {"over_images.png", "along_generator.lr.png"} <= names
    assert {"over_generator.lr_discriminator.lr.png", "importance.png"} <= names
    assert "study_1_pareto.png" in names
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        Image.open(output.with_suffix("") / name).verify()


def test_it_can_be_made_again_over_itself(output: Path) -> None:
    before = output.read_text()
    folder = output.parents[1]
    given = [f"runs=[{folder / 'sweep'},{folder / 'study'}]", f"output={output}"]
    assert guarded("compare", compare, [*given, "title='two <b>things</b>'"]) == 0
    assert output.read_text() == before


def test_markup_escapes_whatever_is_not_markup() -> None:
    assert text("<a>") == "&lt;a&gt;"
    assert text(Markup("<a>")) == "<a>"
    assert tag("p", tag("b", "<"), "&", class_='a"b') == (
        '<p class="a&quot;b"><b>&lt;</b>&amp;</p>'
    )
    assert tag("td", 1, data_key=None) == "<td>1</td>"


@pytest.mark.parametrize("odd", [".inf", ".nan"])
def test_a_setting_may_be_no_finite_number(odd: str, tmp_path: Path) -> None:
    for place, rate in enumerate((0.0, 1e-4, 1e-2, 1e-1)):
        for clip in (1.0, 5.0):
            keys = {RATES[0]: rate, "clip.generator": clip}
            run = make_run(tmp_path / f"{rate}_{clip}", (9.0 + place, clip), changes=keys)
            if place == 3:
                text = (run / "config.yaml").read_text()
                assert "lr: 0.1\n" in text
                (run / "config.yaml").write_text(text.replace("lr: 0.1\n", f"lr: {odd}\n"))
    page = tmp_path / "page.html"
    assert guarded("compare", compare, [f"runs={tmp_path}", f"output={page}"]) == 0
    assert f"generator.lr={odd.lstrip('.')}" in "".join(read(page).words)
