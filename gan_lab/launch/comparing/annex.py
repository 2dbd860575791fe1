"""The parts of the page about all runs: studies, evaluations, verdicts, what did not finish."""

from collections.abc import Sequence

from gan_lab.launch.comparing import words
from gan_lab.launch.comparing.cards import differences, disagreement
from gan_lab.launch.comparing.charts import Chart
from gan_lab.launch.comparing.contrast import mean_and_spread
from gan_lab.launch.comparing.markup import Markup, join, tag
from gan_lab.launch.comparing.report import Evaluations, Report
from gan_lab.launch.comparing.studies import Study
from gan_lab.launch.comparing.tables import (
    EMPTY,
    heads,
    plain,
    protocol,
    say,
    section,
    sortable,
    tiles,
)

REFUSED = (
    "Not ranked against each other: these runs were measured in {} ways, which differ in the "
    "fields below. Each way has a table of its own; train or evaluate again in one way to compare "
    "across them."
)


def evaluations(found: Sequence[Evaluations]) -> Markup:
    """What `evaluate` says of the same runs, a table for each protocol card."""
    if not found:
        return EMPTY
    note = "Results of evaluate that lie in the run folders, mean ± standard deviation."
    parts = [tag("p", note)]
    if told := disagreement([part.card for part in found]):
        parts.append(say(f"Not to be compared across tables: cards differ in {told}.", warn=True))
    return section("Evaluations", *parts, *map(evaluation, found), anchor="evaluations")


def evaluation(found: Evaluations) -> Markup:
    metrics = list(dict.fromkeys(name for row in found.rows.values() for name in row))
    lines = []
    for label, row in found.rows.items():
        count = max((summary.size for summary in row.values()), default=0)
        values = [(mean_and_spread(row.get(n)), row[n].mean if n in row else "") for n in metrics]
        cells = [(label, label), (str(count), count), *values]
        lines.append(tag("tr", *(tag("td", said, data_key=key) for said, key in cells)))
    return join([sortable(heads("run", "results", *metrics), lines), protocol(found.card)])


def doctor(report: Report) -> Markup:
    found = words.ills(report)
    if not found:
        return EMPTY
    parts = []
    for record, lines in found:
        summary = tag(
            "summary", f"{record.folder}: ", tag("strong", lines[0].partition(" since ")[0])
        )
        parts.append(tag("details", summary, tag("ul", *(tag("li", line) for line in lines))))
    return section("The doctor's verdicts", *parts, anchor="doctor")


def unfinished(report: Report) -> Markup:
    gone = words.unfinished(report)
    if not gone:
        return EMPTY
    lines = [tag("tr", *(tag("td", part, data_key=part) for part in line)) for line in gone]
    return section(
        "What did not finish, and why",
        sortable(heads("run", "state", "why"), lines),
        anchor="unfinished",
    )


def study(found: Study, pictures: Sequence[Chart], place: int) -> Markup:
    """How a search went, and its finalists as the study itself has them."""
    states: dict[str, int] = {}
    for trial in found.trials:
        states[trial.state] = states.get(trial.state, 0) + 1
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    aims = ", ".join(f"{d} {m}" for m, d in zip(found.metrics, found.directions, strict=False))
    parts: list[Markup] = [tag("p", f"{len(found.trials)} trials ({told}); to {aims}.")]
    commands = {"Go on with the study": found.search, "Its best settings again": found.repeat}
    for title, command in commands.items():
        if command:
            parts += [tag("h3", title), tag("pre", tag("code", command))]
    for number, finalist in enumerate(found.finalists, 1):
        parts.append(tag("p", f"Finalist {number}: {words.chosen(found, finalist)}."))
    return section(f"Study {found.name}", *parts, tiles(pictures), anchor=f"study-{place}")


def ways(report: Report) -> Markup:
    """The refusal to rank across groups: the fields that differ, with the value of each group."""
    if report.refusal is None:
        return EMPTY
    cards = [group.card for group in report.groups]
    links = [
        tag("th", tag("a", f"Leaderboard {place}", href=f"#board-{place}"), scope="col")
        for place in range(1, len(cards) + 1)
    ]
    lines = [
        tag("tr", tag("th", name, scope="row"), *(tag("td", plain(value)) for value in values))
        for name, values in differences(cards).items()
    ]
    table = tag("table", tag("thead", tag("tr", tag("th", "field"), *links)), tag("tbody", *lines))
    return join([say(REFUSED.format(len(cards)), warn=True), tag("div", table, class_="wide")])
