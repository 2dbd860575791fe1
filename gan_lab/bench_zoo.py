"""Train every recipe of a table with the same budget and several seeds, and write the table.

  python -m gan_lab.bench_zoo
  python -m gan_lab.bench_zoo table=stacked jobs=2 document=results.md

Each run is a training of its own in OUTPUT/TABLE/RECIPE-SEED, measured afterwards at shares of its
budget and at its end. What is finished is not repeated, what was interrupted goes on: start the
same command again. The report (Markdown, CSV, plots) stands beside the runs, or in document= and
beside it.
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab import RunError
from gan_lab.launch.entry import program


def bench_zoo(config: DictConfig, folder: Path, overrides: list[str]) -> dict[str, Any]:
    """Train and measure what is missing, write the report, return its figures."""
    from gan_lab.launch.schema import conform
    from gan_lab.launch.tabulating import records, reporting, running
    from gan_lab.launch.tabulating.plan import Plan

    plan = Plan.of(config, overrides)
    places = reporting.Places(plan, config.document)
    chosen = plan.only(config.only)  # the report is about all that are there
    train = conform(config.train, bool, "train")
    failed = running.run(chosen, config.jobs, config.threads) if train else []
    if failed and not any(records.is_done(job, plan) for job in plan.jobs()):
        raise RunError(failure(plan.folder, failed))
    figures = reporting.write(plan, places)
    if failed:
        raise RunError(failure(plan.folder, failed))
    return figures


def failure(folder: Path, failed: list[str]) -> str:
    return (
        f"{len(failed)} runs failed: {', '.join(failed)}; {folder}/RUN/train.log has what each "
        "printed, and the same command tries them again"
    )


main = program("bench_zoo", bench_zoo, __doc__)

if __name__ == "__main__":
    main()
