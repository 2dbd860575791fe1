"""The parts of the page about one group of runs; one that has nothing to say is empty."""

from collections.abc import Sequence

from gan_lab.launch.comparing import leaderboard, words
from gan_lab.launch.comparing.charts import Chart
from gan_lab.launch.comparing.contrast import figure
from gan_lab.launch.comparing.importance import Importance
from gan_lab.launch.comparing.markup import Markup, join, png_address, tag, void
from gan_lab.launch.comparing.pictures import Grid
from gan_lab.launch.comparing.report import Group, Report
from gan_lab.launch.comparing.rows import show
from gan_lab.launch.comparing.tables import (
    EMPTY,
    cell,
    heads,
    pairs,
    protocol,
    say,
    section,
    sortable,
    tiles,
)

IMPORTANCE = (
    "p is how often values dealt out at random give as large a share. A share says how much a key "
    "changed within the range that was tried, not how much it can; a few runs show large effects "
    "only, and where keys were not varied independently they share what they explain."
)


def board(group: Group, report: Report) -> Markup:
    """The leaderboard; it sorts by a click where scripts may run."""
    shown = leaderboard.columns(group, report)
    head = tag("tr", *(tag("th", c.title, title=c.meaning, scope="col") for c in shown))
    best = group.winner
    lines = []
    for row in group.rows:
        kind = "first" if row is best else "unranked" if row.place is None else None
        lines.append(tag("tr", *(cell(c, c.cell(row)) for c in shown), class_=kind))
    return sortable(head, lines)


def group_sections(
    group: Group, report: Report, pictures: Sequence[Chart], grids: Sequence[Grid], place: int
) -> Markup:
    """All about one protocol."""
    row = group.winner
    commands = words.repeat(row) if row else []
    return join(
        [
            section(
                f"Leaderboard {place}" if len(report.groups) > 1 else "Leaderboard",
                say(words.headline(group, report)),
                say(group.contrast["text"], warn="p" not in group.contrast),
                board(group, report),
                protocol(group.card),
                varied(group),
                anchor=f"board-{place}",
            ),
            charts(pictures, place),
            importance(group.importance, place),
            samples(grids, place),
            repeat(commands, place),
        ]
    )


def charts(pictures: Sequence[Chart], place: int) -> Markup:
    if not pictures:
        return EMPTY
    return section("What the runs show", tiles(pictures), anchor=f"charts-{place}")


def varied(group: Group) -> Markup:
    """Every key in which the rows differ, with its values."""
    keys = list(group.rows[0].varied)
    if not keys:
        return EMPTY
    told = {}
    for key in keys:
        levels = list(dict.fromkeys(show(row.varied[key]) for row in group.rows))
        name = " = ".join([key, *group.rows[0].also.get(key, [])])
        told[name] = ", ".join(levels[:12]) + (" ..." if len(levels) > 12 else "")
    summary = tag("summary", f"What varies: {len(keys)} settings")
    return tag("details", summary, pairs(told), class_="soft")


def importance(found: Importance | None, place: int) -> Markup:
    if found is None:
        return EMPTY
    lines = [
        tag(
            "tr",
            tag("td", share.key, data_key=share.key),
            tag("td", f"{share.share:.0%}", data_key=share.share),
            tag("td", figure(share.p, 2), data_key=share.p),
        )
        for share in found.shares
    ]
    told = f"Shares of the variance, by {found.method}, over {found.rows} rows."
    if found.rest is not None:
        told += f" The rest, {found.rest:.0%}, is interactions and chance."
    if found.noise is not None:
        told += f" The spread of the seeds accounts for {found.noise:.0%} of all variance."
    return section(
        "What mattered",
        tag("p", told),
        sortable(heads("key", "share", "p"), lines),
        tag("p", IMPORTANCE, class_="soft"),
        anchor=f"importance-{place}",
    )


def samples(grids: Sequence[Grid], place: int) -> Markup:
    if not grids:
        return EMPTY
    figures = [
        tag(
            "figure",
            void("img", src=png_address(grid.png), alt=f"samples of {grid.label}", loading="lazy"),
            tag("figcaption", f"{grid.label}, {grid.images_seen:,} images"),
        )
        for grid in grids
    ]
    note = "The last grid of the best run of each row, not selected within it."
    return section(
        "Samples",
        tag("p", note),
        tag("div", *figures, class_="tiles grids"),
        anchor=f"samples-{place}",
    )


def repeat(commands: Sequence[str], place: int) -> Markup:
    if not commands:
        return EMPTY
    titles = ("The best run again", "The best row with further seeds")
    blocks = [
        join([tag("h3", title), tag("pre", tag("code", line))])
        for title, line in zip(titles, commands, strict=False)
    ]
    return section("Repeat the best", *blocks, anchor=f"repeat-{place}")
