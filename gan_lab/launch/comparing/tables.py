"""Pieces that several parts of the page are made of: sections, tables, charts."""

import json
import math
from collections.abc import Sequence
from typing import Any

from gan_lab.launch.comparing.charts import Chart
from gan_lab.launch.comparing.leaderboard import Cell, Column
from gan_lab.launch.comparing.markup import Markup, png_address, tag, void

EMPTY = Markup("")


def section(title: str, *content: object, anchor: str) -> Markup:
    return tag("section", tag("h2", title), *content, id=anchor)


def say(sentence: str, warn: bool = False) -> Markup:
    return tag("p", sentence, class_="say warn" if warn else "say")


def sortable(head: Markup, lines: Sequence[Markup]) -> Markup:
    table = tag("table", tag("thead", head), tag("tbody", *lines), class_="sortable")
    return tag("div", table, class_="wide", tabindex=0)


def heads(*titles: str) -> Markup:
    """The first line of a table."""
    return tag("tr", *(tag("th", title, scope="col") for title in titles))


def cell(column: Column, content: Cell) -> Markup:
    kind = "number" if isinstance(content.key, float | int) else "short"
    kind = kind if len(content.text) <= 24 else "long"
    return tag("td", content.text, class_=kind, data_key=sort_key(content.key))


def sort_key(key: float | str) -> str:
    """Infinity as JavaScript reads it out of text."""
    if isinstance(key, float) and math.isinf(key):
        return "1e999" if key > 0 else "-1e999"
    return str(key)


def pairs(values: dict[str, Any]) -> Markup:
    lines = (
        tag("tr", tag("th", key, scope="row"), tag("td", plain(value)))
        for key, value in values.items()
    )
    return tag("div", tag("table", tag("tbody", *lines)), class_="wide")


def plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def protocol(card: dict[str, Any]) -> Markup:
    return tag(
        "details",
        tag("summary", "How these were measured"),
        pairs(card),
        class_="soft",
    )


def tiles(pictures: Sequence[Chart]) -> Markup:
    return tag("div", *(figure_of(picture) for picture in pictures), class_="tiles")


def figure_of(picture: Chart) -> Markup:
    dark = void("source", srcset=png_address(picture.dark), media="(prefers-color-scheme: dark)")
    light = void("img", src=png_address(picture.light), alt=picture.title, loading="lazy")
    caption = tag("figcaption", tag("strong", picture.title), ". ", picture.says)
    return tag("figure", tag("picture", dark, light), caption)
