"""Train every recipe of a table with the same budget and several seeds, and write the table.

  python -m gan_lab.bench_zoo
  python -m gan_lab.bench_zoo table=stacked jobs=2 document=null

Each run is a training of its own in OUTPUT/TABLE/RECIPE-SEED, measured afterwards at shares of its
budget and at its end. What is finished is not repeated, what was interrupted goes on: start the
same command again. The report (Markdown, CSV, plots) goes into document= and beside it.
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab import RunError
from gan_lab.launch.entry import program


def bench_zoo(config: DictConfig, folder: Path, overrides: list[str]) -> dict[str, Any]:
    """Train and measure what is missing, write the report, return its figures."""
    from gan_lab.launch.tabulating import reporting, running
    from gan_lab.launch.tabulating.plan import Plan

    plan = Plan.of(config)
    chosen = plan.only(config.only)  # the report is about all that are there
    failed = running.run(chosen, config.jobs, config.threads) if config.train else []
    figures = reporting.write(plan, config.document)
    if failed:
        raise RunError(
            f"{len(failed)} runs failed: {', '.join(failed)}; their output is in "
            f"{plan.folder}/RUN.log, and the same command tries them again"
        )
    return figures


main = program("bench_zoo", bench_zoo, __doc__)

if __name__ == "__main__":
    main()
