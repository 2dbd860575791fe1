"""The report of a table: Markdown between the marks of a document, CSV and plots beside it."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_lab import RunError, UserError
from gan_lab.launch.drawing import check_place
from gan_lab.launch.runs import read_result
from gan_lab.launch.tabulating.markdown import markdown
from gan_lab.launch.tabulating.measuring import read_measured
from gan_lab.launch.tabulating.plan import Job, Plan
from gan_lab.launch.tabulating.records import read_placement, require_same
from gan_lab.metrics.storage import write_atomically

Figures = dict[str, Any]
ENDED = ("finished", "diverged")


class Places:
    """Where the report of a table goes; UserError where it cannot.

    Args:
        document: that gets the table between its marks, or None for one beside the runs.
    """

    def __init__(self, plan: Plan, document: Any) -> None:
        self.document = plan.folder / "report.md" if document is None else Path(str(document))
        check_place(self.document)
        if self.document.suffix != ".md":
            raise UserError(f"document={document} must be named FILE.md")
        self.folder = plan.folder if document is None else self.document.with_suffix("")
        self.start, self.end = f"<!-- table {plan.name} -->", f"<!-- end of table {plan.name} -->"
        self.title = plan.title
        self.split()

    def split(self) -> tuple[str, str]:
        """The document before and after the table."""
        try:
            text = self.document.read_text("utf-8") if self.document.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"document={self.document} cannot be read: {error}") from error
        before, mark, rest = text.partition(self.start)
        if not mark:
            return f"{before.rstrip()}\n\n## {self.title}\n\n".lstrip(), "\n"
        if self.end not in rest:
            raise UserError(
                f"document={self.document} has the mark {self.start} without {self.end}; add it"
            )
        return before, rest.partition(self.end)[2]

    def put(self, text: str) -> None:
        """Replace what stands between the marks, or add the table at the end."""
        before, after = self.split()
        whole = f"{before}{self.start}\n{text}\n{self.end}{after}"
        write_atomically(self.document, whole.encode())


def write(plan: Plan, places: Places) -> Figures:
    """Write everything about the finished runs; print the table and where it is.

    Raises:
        UserError: where no run is finished.
        RunError: where something cannot be written.
    """
    from gan_lab.launch.tabulating import plots, showing

    rows = [row for row in (read(job, plan) for job in plan.jobs()) if row]
    if not any(row["metrics"] for row in rows):
        raise UserError(f"{plan.folder} holds no finished run of this table; leave out train=false")
    groups = {name: [row for row in rows if row["recipe"] == name] for name in plan.recipes}
    text = markdown(plan, {name: found for name, found in groups.items() if found})
    names = [f"{plan.name}{end}" for end in (".csv", "_curve.csv")]
    try:
        places.folder.mkdir(parents=True, exist_ok=True)
        for name, content in zip(names, (run_rows(rows), curve_rows(rows)), strict=True):
            write_atomically(places.folder / name, to_csv(content).encode())
        drawn = plots.draw(plan, groups, places.folder)
        pictures = [showing.picture(path, places.document) for path in drawn]
        shown = showing.show(plan, rows, places.folder, places.document)
        places.put("\n\n".join(part for part in (text, *pictures, shown) if part))
    except OSError as error:
        raise RunError(f"cannot write the report of {plan.name}: {error}") from error
    shown_files = [f"{plan.name}_RECIPE-SEED_*"] if shown else []
    written = ", ".join([*names, *(path.name for path in drawn), *shown_files])
    print(f"{text}\nwrote {places.document} and, in {places.folder}, {written}")
    return {"runs": rows}


def read(job: Job, plan: Plan) -> Figures | None:
    """A run's figures; without metrics where it diverged, None where it is not finished."""
    result, measured = read_result(job.folder), read_measured(job.folder, plan)
    status = result.get("status")
    if status in ENDED:
        require_same(job)
    if status != "diverged" and not (status == "finished" and measured):
        return None
    kept = {key: result[key] for key in ("status", "images_seen", "seconds", "precision")}
    row: Figures = {"recipe": job.recipe, "seed": job.seed, **kept, "metrics": {}, "curve": []}
    row["placement"] = read_placement(job.folder)
    if measured is None or status != "finished":
        return row
    # JSON has no word for what is not a number, as the KL of a run that hits no mode.
    curve = [{k: math.nan if v is None else v for k, v in p.items()} for p in measured["curve"]]
    return {**row, **measured, "curve": curve}


def run_rows(rows: Sequence[Figures]) -> list[Figures]:
    """One line a run."""
    found = []
    for row in rows:
        entry = {k: row[k] for k in ("recipe", "seed", "status", "images_seen", "seconds")}
        entry |= {name: value["value"] for name, value in row["metrics"].items()}
        for kind in ("floor", "ceiling"):
            entry |= {f"{name}_{kind}": v.get(kind) for name, v in row["metrics"].items()}
        if row["metrics"]:
            entry |= {f"best_{key}": value for key, value in row["best"].items()}
            entry |= {f"weights_{key}": value for key, value in row["parameters"].items()}
            entry["verdicts"] = ", ".join(row["verdicts"])
        found.append(entry)
    return found


def curve_rows(rows: Sequence[Figures]) -> list[Figures]:
    """One line a point of a run's curve."""
    return [
        {"recipe": row["recipe"], "seed": row["seed"], **point}
        for row in rows
        for point in row["curve"]
    ]


def to_csv(rows: Sequence[Figures]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
