"""Draw and write: the page, the pictures in a folder beside it, the figures as JSON."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gan_lab import RunError
from gan_lab.launch.comparing import pictures
from gan_lab.launch.comparing.charts import Chart
from gan_lab.launch.comparing.data import figures
from gan_lab.launch.comparing.page import page
from gan_lab.launch.comparing.report import Report
from gan_lab.launch.resolvers import plain
from gan_lab.launch.runs import write_text
from gan_lab.metrics.card import to_json
from gan_lab.metrics.storage import write_atomically


def write(output: Path, report: Report, title: str, most_grids: int) -> list[Path]:
    """Write FILE.html, FILE.json and FILE/*.png; return what was written.

    Raises:
        RunError: where the disk refuses.
    """
    charts = [pictures.group_charts(group, report.by) for group in report.groups]
    grids = [pictures.grids(group.rows, most_grids) for group in report.groups]
    fronts = [pictures.study_charts(study) for study in report.studies]
    folder = output.with_suffix("")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn = {f"{name}.png": content for name, content in files(charts, grids, fronts)}
        for name, content in drawn.items():
            write_atomically(folder / name, content)
        for name in pictures_of(output.with_suffix(".json")) - drawn.keys():
            (folder / name).unlink(missing_ok=True)
        told = {**figures(report), "pictures": sorted(drawn)}
        write_text(output.with_suffix(".json"), to_json(told))
        write_text(output, page(title, report, charts, grids, fronts))
    except OSError as error:
        raise RunError(f"cannot write {output}: {error}") from error
    return [output, output.with_suffix(".json"), folder]


def pictures_of(path: Path) -> set[str]:
    """What an earlier comparison of this name drew; files of others are not among them."""
    try:
        named = json.loads(path.read_text())["pictures"]
        return {n for n in named if n.endswith(".png") and Path(n).name == n}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return set()


def files(
    charts: Sequence[Sequence[Chart]], grids: Sequence[Sequence[Any]], fronts: Sequence[Any]
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the pictures, in their light theme."""
    for place, (drawn, shown) in enumerate(zip(charts, grids, strict=True), 1):
        prefix = f"{place}_" if len(charts) > 1 else ""
        for chart in drawn:
            yield plain(f"{prefix}{chart.name}")[:100], chart.light
        for number, grid in enumerate(shown, 1):
            yield plain(f"{prefix}samples_{number:02d}"), grid.png
    for number, drawn in enumerate(fronts, 1):
        for chart in drawn:
            yield plain(f"study_{number}_{chart.name}"), chart.light
