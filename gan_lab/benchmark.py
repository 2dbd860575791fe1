"""Measure what training costs and how soon its images are good, with the ratios of one machine.

  python -m gan_lab.benchmark task=speedrun
  python -m gan_lab.benchmark task=step 'step.experiments=[mlp_mnist]' step.rounds=3

speedrun races experiments against a tutorial-style loop to fixed marks of FID; step sets one
training step against the machine's ceilings and a hand-written loop; scaling measures how seconds
and memory grow. Each finished measurement is kept in output=DIR, and a rerun skips it; the tables
go to DIR/report.md and DIR/report.json.
"""

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab import UserError
from gan_lab.launch.entry import program, require

TASKS = ("speedrun", "step", "scaling")


def benchmark(config: DictConfig, folder: Path, overrides: list[str]) -> dict[str, Any]:
    """Measure what is missing, print and write the tables, return the figures."""
    if require(config, "task", f"one of {', '.join(TASKS)}") not in TASKS:
        raise UserError(f"task={config.task} must be one of {', '.join(TASKS)}")

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler complains of GPUs that are not
    from gan_lab.launch.benchmarking import scaling, speedrun, step
    from gan_lab.launch.benchmarking.results import Results

    task = {"speedrun": speedrun, "step": step, "scaling": scaling}[config.task]
    given: Any = OmegaConf.to_container(config, resolve=True)
    results = Results(Path(str(given["output"])), given["threads"], given["overrides"])
    settings = task.check(given[config.task], results.overrides)
    figures = task.measure(settings, results)
    results.report(figures, task.tables(figures))
    return figures


main = program("benchmark", benchmark, __doc__)

if __name__ == "__main__":
    main()
