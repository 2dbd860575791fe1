"""Train every recipe for a short while, and put a grid of each and a table into docs/zoo.md.

  python benchmarks/zoo.py                          all recipes, 2 epochs each
  python benchmarks/zoo.py epochs=1 lsgan_mnist wgan_mnist
  python benchmarks/zoo.py table                    the table again, from the runs that are there

Runs stand in runs/zoo/NAME; a finished one is not repeated, an interrupted one goes on. Left out
are long runs, points and the blackboard, which have documents of their own.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gan_lab.data.images import make_grid, save_png
from gan_lab.launch.drawing import load_generator
from gan_lab.launch.entry import CONF, compose_run
from gan_lab.training.sampling import generate_images

ROOT = CONF.parent
RUNS = ROOT / "runs" / "zoo"
DOCUMENT = ROOT / "docs" / "zoo.md"
START, END = "<!-- table -->", "<!-- end of table -->"
COLUMNS = 10


def recipes() -> list[str]:
    """Experiments on images that a short run can show."""
    names = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
    return [name for name in names if not name.endswith("_long") and has_images(name)]


def has_images(name: str) -> bool:
    config, _ = compose_run("train", [f"experiment={name}"])
    return len(config.data.image_shape) == 3


def train(name: str, epochs: int) -> Path:
    """The finished run of a recipe."""
    folder = RUNS / name
    if status(folder) != "finished":
        budget = [f"trainer.max_epochs={epochs}", "trainer.max_time=null"]
        start = [f"experiment={name}", *budget, f"hydra.run.dir={folder}"]
        given = [f"resume={folder}"] if (folder / "config.yaml").exists() else start
        command = [sys.executable, "-m", "gan_lab.train", *given]
        subprocess.run([*command, "trainer.enable_progress_bar=false"], check=True, cwd=ROOT)
    return folder


def status(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / "result.json").read_text())["status"])
    except FileNotFoundError:
        return None


def draw(name: str, folder: Path) -> None:
    """docs/zoo/NAME.png: samples of the last checkpoint, a column a class where it knows them."""
    generator = load_generator(folder / "checkpoints" / "last.ckpt")
    images = generate_images(generator, 5 * COLUMNS, seed=1)
    save_png(DOCUMENT.parent / "zoo" / f"{name}.png", make_grid(images, columns=COLUMNS))


def row(name: str) -> str:
    result: dict[str, Any] = json.loads((RUNS / name / "result.json").read_text())
    config, _ = compose_run("train", [f"experiment={name}"])
    last = result["last"]
    score = f"{last['val/fid']:.2f}" if "val/fid" in last else ""  # not without a feature network
    if "val/modes" in last:
        score = f"{last['val/modes']:.0f} of 1,000 modes, KL {last['val/mode_kl']:.2f}"
    confirmed = last.get("val/confirmed_labels")
    cells = [
        f"[`{name}`](#{name})",
        score,
        "" if confirmed is None else f"{confirmed:.1%}",
        f"{result['images_seen']:,}",
        f"{parameters(name, config):,}",
    ]
    return f"| {' | '.join(cells)} |"


def parameters(name: str, config: DictConfig) -> int:
    generator = load_generator(RUNS / name / "checkpoints" / "last.ckpt")
    return sum(parameter.numel() for parameter in generator.parameters())


def write_table() -> None:
    """Replace what stands between the marks of the document."""
    names = [name for name in recipes() if status(RUNS / name) == "finished"]
    head = "| recipe | FID on validation | labels confirmed | images seen | generator's weights |"
    lines = [head, "|---|---|---|---|---|", *map(row, names)]
    before, _, rest = DOCUMENT.read_text().partition(START)
    after = rest.partition(END)[2]
    text = "\n".join(["", *lines, ""])
    DOCUMENT.write_text(f"{before}{START}{text}{END}{after}")


def main(arguments: list[str]) -> None:
    epochs = next((int(a.split("=")[1]) for a in arguments if a.startswith("epochs=")), 2)
    if "table" not in arguments:
        chosen = [a for a in arguments if "=" not in a] or recipes()
        for name in chosen:
            draw(name, train(name, epochs))
    write_table()


if __name__ == "__main__":
    main(sys.argv[1:])
