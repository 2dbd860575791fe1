"""metrics.csv: all scalars of a run against the images seen, in one curve even after a resume."""

import csv
import os
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from gan_lab import RunError

PLACE = ("images_seen", "epoch")


class MetricsCSV(Callback):
    """Append each row of scalars; columns that appear later are added to the whole file."""

    def __init__(self) -> None:
        self.columns: list[str] = []
        self.last: dict[str, float] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.path = Path(trainer.default_root_dir) / "metrics.csv"

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Drop what an earlier session logged after the checkpoint that this one started from."""
        if not trainer.is_global_zero:
            return
        rows = read_rows(self.path)
        kept = [row for row in rows if int(row["images_seen"]) <= pl_module.images_seen]
        if pl_module.images_seen == 0 or not kept:
            self.path.unlink(missing_ok=True)
            return
        self.columns = list(kept[0])
        self.rewrite(kept)
        for row in kept:
            self.last |= {k: float(v) for k, v in row.items() if v and k not in PLACE}

    def on_metrics(
        self, trainer: Trainer, pl_module: LightningModule, metrics: dict[str, float]
    ) -> None:
        if not trainer.is_global_zero:
            return
        self.last = self.last | metrics
        place = {"images_seen": pl_module.images_seen, "epoch": pl_module.current_epoch}
        row = {key: str(value) for key, value in (place | metrics).items()}
        new = [key for key in row if key not in self.columns]
        self.columns += new
        if new:
            self.rewrite([*read_rows(self.path), row])
        else:
            self.write([row], "a")

    def rewrite(self, rows: list[dict[str, str]]) -> None:
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        self.write(rows, "w", partial)
        partial.replace(self.path)

    def write(self, rows: list[dict[str, str]], mode: str, path: Path | None = None) -> None:
        try:
            with (path or self.path).open(mode, newline="") as file:
                writer = csv.DictWriter(file, self.columns, restval="")
                if mode == "w":
                    writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error}") from error


def read_rows(path: Path) -> list[dict[str, str]]:
    """All whole rows of a metrics file; a last line cut short by a crash is left out."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if None not in row.values() and row.get("images_seen")]
