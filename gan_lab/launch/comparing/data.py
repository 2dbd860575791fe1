"""All figures of the page as plain containers, for page.json."""

from dataclasses import asdict
from typing import Any

from gan_lab.launch.comparing.landscape import numeric_keys
from gan_lab.launch.comparing.pictures import band_of
from gan_lab.launch.comparing.records import Record
from gan_lab.launch.comparing.report import Evaluations, Group, Report
from gan_lab.launch.comparing.rows import Row
from gan_lab.launch.comparing.studies import Study, Trial, pareto
from gan_lab.launch.comparing.words import repeat, unfinished

VERSION = 1


def figures(report: Report) -> dict[str, Any]:
    """Plain containers only; what is not finite is made null where they are written."""
    return {
        "format_version": VERSION,
        "by": report.by,
        "refusal": report.refusal,
        "groups": [group(found, report) for found in report.groups],
        "unmeasured": [run(record, report) for record in report.unmeasured],
        "evaluations": [evaluation(found) for found in report.evaluations],
        "studies": [study(found) for found in report.studies],
        "unfinished": [
            {"name": name, "status": status, "why": why} for name, status, why in unfinished(report)
        ],
    }


def group(found: Group, report: Report) -> dict[str, Any]:
    best = found.winner
    return {
        "card": found.card,
        "lower_is_better": found.lower,
        "best": best.label if best else None,
        "repeat": repeat(best) if best else [],
        "contrast": found.contrast,
        "importance": found.importance.as_dict() if found.importance else None,
        "numeric_keys": numeric_keys(found.rows),
        "rows": [row_of(row, found, report) for row in found.rows],
    }


def row_of(row: Row, found: Group, report: Report) -> dict[str, Any]:
    bands = {axis: band_of(row, found.metric, axis) for axis in ("images", "seconds")}
    return {
        "place": row.place,
        "label": row.label,
        "varied": row.varied,
        "best": row.best._asdict() if row.best else None,
        "last": row.last._asdict() if row.last else None,
        "counted": [str(record.folder) for record in row.counted],
        "parameters": report.parameters.get(row.records[0].folder),
        "runs": [run(record, report) for record in row.records],
        "curves": {
            axis: {"x": b.x.tolist(), "mean": b.mean.tolist(), "std": b.std.tolist()}
            for axis, b in bands.items()
            if b is not None
        },
    }


def run(record: Record, report: Report) -> dict[str, Any]:
    diagnosis = report.diagnoses.get(record.folder)
    return {
        "folder": str(record.folder),
        "seed": record.seed,
        "status": record.status,
        "why": record.why,
        "best": record.best,
        "last": record.last,
        "images": record.images,
        "seconds": record.seconds,
        "finalist": record.finalist,
        "doctor": diagnosis.as_dict() if diagnosis else None,
    }


def evaluation(found: Evaluations) -> dict[str, Any]:
    rows = {
        label: {name: summary._asdict() for name, summary in row.items()}
        for label, row in found.rows.items()
    }
    return {"card": found.card, "rows": rows}


def trial_of(trial: Trial) -> dict[str, Any]:
    return {**asdict(trial), "folder": str(trial.folder) if trial.folder else None}


def study(found: Study) -> dict[str, Any]:
    whole = [
        t for t in found.trials if len(t.values) == len(found.metrics) and None not in t.values
    ]
    points = [tuple(v for v in trial.values if v is not None) for trial in whole]
    front = pareto(points, found.directions) if len(found.directions) > 1 else []
    return {
        "name": found.name,
        "metrics": found.metrics,
        "directions": found.directions,
        "trials": [trial_of(trial) for trial in found.trials],
        "pareto": [whole[i].number for i in front],
        "elsewhere": [trial.number for trial in found.elsewhere],
        "search": found.search,
        "repeat": found.repeat,
    }
