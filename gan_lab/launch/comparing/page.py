"""The one page: self-contained, readable without scripts, in light and dark, narrow and wide."""

from collections.abc import Sequence

from gan_lab import __version__
from gan_lab.launch.comparing import annex, sections, words
from gan_lab.launch.comparing.assets import SCRIPT, STYLE
from gan_lab.launch.comparing.charts import Chart
from gan_lab.launch.comparing.markup import Markup, join, tag, void
from gan_lab.launch.comparing.pictures import Grid
from gan_lab.launch.comparing.report import Report
from gan_lab.launch.comparing.tables import say

# Nothing is fetched from anywhere, whatever a run's name may hold.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
NOTE = (
    "A place is by the mean over the finished seeds of a row; rows that lost a seed to divergence "
    "or an error come after those that lost none, and runs that have not finished have no place. "
    "The best of many rows is partly luck."
)


def page(
    title: str,
    report: Report,
    charts: Sequence[Sequence[Chart]],
    grids: Sequence[Sequence[Grid]],
    fronts: Sequence[Sequence[Chart]],
) -> str:
    """`charts` and `grids`: of each group; `fronts`: of each study."""
    parts = [
        tag(
            "header",
            tag("h1", title),
            tag("p", words.counts(report)),
            *(say(line, warn=True) for line in words.elsewhere(report)),
        ),
        annex.ways(report),
        *(
            sections.group_sections(group, report, charts[i], grids[i], i + 1)
            for i, group in enumerate(report.groups)
        ),
        *(annex.study(study, fronts[i], i + 1) for i, study in enumerate(report.studies)),
        annex.evaluations(report.evaluations),
        annex.doctor(report),
        annex.unfinished(report),
        tag("footer", tag("p", NOTE), tag("p", f"gan_lab {__version__}"), class_="soft"),
    ]
    head = tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=POLICY),
        void("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(STYLE)),
    )
    body = tag("body", *parts, tag("script", Markup(SCRIPT)))
    return "<!DOCTYPE html>\n" + tag("html", join([head, body]), lang="en") + "\n"
