"""What the comparison says in sentences and commands, for the terminal and the page alike."""

import shlex
from collections import Counter

from gan_lab.launch.comparing import leaderboard
from gan_lab.launch.comparing.contrast import figure, mean_and_spread
from gan_lab.launch.comparing.records import Record
from gan_lab.launch.comparing.report import Group, Report
from gan_lab.launch.comparing.rows import Row, show
from gan_lab.launch.comparing.statistics import summarise
from gan_lab.launch.comparing.studies import Finalist, Study

ENDED = ("finished",)
MORE_SEEDS = 3


def counts(report: Report) -> str:
    """How many runs there are, and how they ended."""
    found = Counter(record.status for record in report.records)
    found.update(lost.status for lost in report.lost)
    told = ", ".join(f"{count} {status}" for status, count in found.most_common())
    text = f"{sum(found.values())} runs ({told})"
    rows = sum(len(group.rows) for group in report.groups)
    if not rows:
        return f"{text}; none of them measured anything, so there is nothing to rank."
    return f"{text} in {rows} rows: those that differ in the seed alone are one row."


def elsewhere(report: Report) -> list[str]:
    """For each study some of whose trials have no run here: how many, and who is its best."""
    found = []
    for study in report.studies:
        missing, total = len(study.elsewhere), len(study.trials)
        if missing:
            text = (
                f"{missing} of {total} trials of {study.name} lie on other machines (or their "
                "folders were removed) and are not ranked here"
            )
            best = f"; the study's own best is {chosen(study, study.best)}" if study.best else ""
            found.append(f"{text}{best}.")
    return found


def chosen(study: Study, finalist: Finalist) -> str:
    """Parameters, and mean ± standard deviation of each objective, as the study has them."""
    params = ", ".join(f"{key}={show(value)}" for key, value in finalist.params.items())
    spreads = [*finalist.std, *[None] * len(finalist.mean)]
    scores = ", ".join(
        f"{metric} {figure(mean)}" + ("" if std is None else f" ± {figure(std, 2)}")
        for metric, mean, std in zip(study.metrics, finalist.mean, spreads, strict=False)
    )
    return f"{params}: {scores}"


def headline(group: Group, report: Report) -> str:
    """Who is first, by which figure, over how many seeds."""
    row = group.winner
    if row is None:
        return f"No run of this group has finished with a {group.metric}."
    values = row.values(report.by)
    seeds = "1 seed" if len(values) == 1 else f"{len(values)} seeds"
    way = "lower" if group.lower else "higher"
    text = (
        f"Best: {row.label}, {group.metric} {mean_and_spread(summarise(values))} over {seeds} "
        f"({report.by} of each run; {way} is better)."
    )
    if row.place != 1:
        text += " The rows above it were run once, this one was repeated."
    return text


def repeat(row: Row) -> list[str]:
    """The command of the row's best run, and one for more seeds; empty where nobody noted it."""
    record = row.representative
    if not record.command:
        return []
    kept = [o for o in record.command if not o.startswith(("hydra.", "resume="))]
    seeds = [int(r.seed) for r in row.records if isinstance(r.seed, int)]
    following = range(max(seeds, default=-1) + 1, max(seeds, default=-1) + 1 + MORE_SEEDS)
    others = [o for o in kept if not o.startswith("seed=")]
    more = [*others, f"seed={','.join(map(str, following))}"]
    return [command(kept), command(["-m", *more])]


def command(arguments: list[str]) -> str:
    return " ".join(["python -m gan_lab.train", *map(shlex.quote, arguments)])


def unfinished(report: Report) -> list[tuple[str, str, str]]:
    """Name, state and reason of everything without a place, and of what cannot be read."""
    found = []
    for record in report.records:
        if record.status not in ENDED:
            found.append((str(record.folder), record.status, record.why))
        elif record.best is None:
            why = record.why or "no value of the metric that decides was logged"
            found.append((str(record.folder), "not measured", why))
    return found + [(lost.name, lost.status, lost.why) for lost in report.lost]


def ills(report: Report) -> list[tuple[Record, list[str]]]:
    """Runs with findings, and a line for each."""
    found = []
    for record in report.records:
        diagnosis = report.diagnoses.get(record.folder)
        if diagnosis is not None and diagnosis.findings:
            found.append((record, diagnosis.lines()))
    return found


def text(report: Report) -> str:
    """The whole comparison for a terminal."""
    parts = [counts(report), *elsewhere(report)]
    if report.refusal:
        parts.append(report.refusal)
    for place, group in enumerate(report.groups, 1):
        if len(report.groups) > 1:
            parts.append(f"Way {place} of {len(report.groups)}: {way(group)}")
        parts += [leaderboard.text(group, report), headline(group, report), group.contrast["text"]]
        row = group.winner
        parts += [f"Repeat the best: {line}" for line in (repeat(row) if row else [])[:1]]
    if gone := unfinished(report):
        lines = [f"  {name}: {status}{': ' if why else ''}{why}" for name, status, why in gone]
        parts.append("\n".join(["Not finished:", *lines]))
    return "\n\n".join(parts)


def way(group: Group) -> str:
    """The protocol in one line."""
    card = group.card
    return (
        f"{card['metric']} of {card['num_fake']} images of {card['data']} {card['image_shape']} "
        f"against {card['split']}"
    )
