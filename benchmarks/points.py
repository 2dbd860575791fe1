"""How many modes of the ring and the grid recipes find, and how closely, into docs/results.md.

  python benchmarks/points.py                       all recipes, seeds 0 to 4, then the table
  python benchmarks/points.py seeds=2 grid_best     some recipes, seeds 0 and 1
  python benchmarks/points.py table                 the table again, from the runs that are there

Runs stand in runs/points/NAME-SEED; a finished one is not repeated, an interrupted one goes on. All
figures are of the last checkpoint's averaged generator, 2,500 samples each, as the papers have it.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from gan_lab.launch.entry import CONF

ROOT = CONF.parent
RUNS = ROOT / "runs" / "points"
DOCUMENT = ROOT / "docs" / "results.md"
START, END = "<!-- points -->", "<!-- end of points -->"
PLAIN = ["objective=non_saturating", "~penalty.r1", "~penalty.r2"]
RECIPES = {
    f"{data}_{kind}": [f"experiment={data}_{base}", *changes]
    for data in ("ring", "grid")
    for kind, base, changes in (
        ("gan_without_r1", "gan", ["~penalty.r1"]),  # the vanilla GAN on PacGAN's networks
        ("gan", "gan", []),
        ("vanilla", "best", PLAIN),  # the networks, rates and images of the best, a plain game
        ("best", "best", []),
    )
}


def train(name: str, seed: int) -> None:
    """Finish the run of a recipe and a seed."""
    folder = RUNS / f"{name}-{seed}"
    if result(folder).get("status") == "finished":
        return
    start = [*RECIPES[name], f"seed={seed}", f"hydra.run.dir={folder}"]
    given = [f"resume={folder}"] if (folder / "config.yaml").exists() else start
    command = [sys.executable, "-m", "gan_lab.train", *given, "trainer.enable_progress_bar=false"]
    subprocess.run(command, check=True, cwd=ROOT)


def result(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "result.json").read_text()))
    except FileNotFoundError:
        return {}


def row(name: str) -> str | None:
    """A line of the table, over the seeds that are finished."""
    results = [result(folder) for folder in sorted(RUNS.glob(f"{name}-*"))]
    finished = [r for r in results if r.get("status") == "finished"]
    if not finished:
        return None
    columns = ("val/modes", "val/high_quality", "val/mode_kl")
    modes, quality, kl = ([r["last"][key] for r in finished] for key in columns)
    cells = [
        f"`{name}`",
        ", ".join(f"{found:.0f}" for found in modes),
        f"{statistics.mean(quality):.1%} ({min(quality):.1%} to {max(quality):.1%})",
        f"{statistics.mean(kl):.3f}",
        f"{finished[0]['images_seen']:,}",
        f"{statistics.median(r['seconds'] for r in finished):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def write_table() -> None:
    """Replace what stands between the marks of the document."""
    lines = [line for line in map(row, RECIPES) if line]
    head = "| recipe | modes, seed by seed | high quality | KL | points seen | seconds |"
    before, _, rest = DOCUMENT.read_text().partition(START)
    after = rest.partition(END)[2]
    text = "\n".join(["", head, "|---|---|---|---|---|---|", *lines, ""])
    DOCUMENT.write_text(f"{before}{START}{text}{END}{after}")


def main(arguments: list[str]) -> None:
    count = next((int(a.split("=")[1]) for a in arguments if a.startswith("seeds=")), 5)
    names = [a for a in arguments if a in RECIPES] or list(RECIPES)
    for seed in range(0 if "table" in arguments else count):
        for name in names:
            train(name, seed)
    write_table()


if __name__ == "__main__":
    main(sys.argv[1:])
