"""metrics.csv: all scalars of a run against the images seen, in one curve even after a resume."""

import contextlib
import csv
import io
import os
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from gan_lab import RunError
from gan_lab.training import storage
from gan_lab.training.rows import read_rows

PLACE = ("images_seen", "epoch")


class MetricsCSV(Callback):
    """Append each row of scalars; columns that appear later are added to the whole file.

    A checkpoint knows how many rows there were: what a killed session wrote after it is dropped.
    Rows that a full disk refuses are kept and written with the next one.
    """

    def __init__(self) -> None:
        self.columns: list[str] = []
        self.last: dict[str, float] = {}
        self.count = 0  # rows that were logged, over all sessions
        self.known: int | None = None  # rows of which the checkpoint knows
        self.waiting: list[dict[str, str]] = []  # rows for which the header is yet to be written

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.path = Path(trainer.default_root_dir) / "metrics.csv"
        self.journal = storage.Journal(self.path)

    def state_dict(self) -> dict[str, int]:
        return {"rows": self.count}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.known = state_dict["rows"]

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Drop what an earlier session logged after the checkpoint that this one started from.

        Raises:
            RunError: where the disk refuses; new rows would follow those that are void.
        """
        if not trainer.is_global_zero:
            return
        rows = read_rows(self.path) if pl_module.images_seen else []
        kept = rows[: self.known]
        if self.known is None:  # a checkpoint that was written before rows were counted
            kept = [row for row in rows if int(row["images_seen"]) <= pl_module.images_seen]
        self.count, self.columns = len(kept), list(kept[0]) if kept else []
        for row in kept:
            self.last |= {k: float(v) for k, v in row.items() if v and k not in PLACE}
        try:
            if kept:
                self.rewrite(kept)
            else:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            text = f"cannot write {self.path}: {storage.reason(error)}; make room, then resume"
            raise RunError(text) from None  # without its cause, no one takes it for a lost row
        self.journal = storage.Journal(self.path)

    def on_metrics(
        self, trainer: Trainer, pl_module: LightningModule, metrics: dict[str, float]
    ) -> None:
        if not trainer.is_global_zero:
            return
        self.last = self.last | metrics
        self.count += 1
        place = {"images_seen": pl_module.images_seen, "epoch": pl_module.current_epoch}
        row = {key: str(value) for key, value in (place | metrics).items()}
        new = [key for key in row if key not in self.columns]
        self.columns += new
        if new or self.waiting:
            self.waiting.append(row)
            self.write_anew()
        else:
            self.journal.write(self.text([row], header=False))
            self.journal.flush()

    def write_anew(self) -> None:
        """Give the whole file the columns of today, with the rows that wait."""
        try:
            self.journal.flush()
            if self.journal.pending:
                return
            self.rewrite([*read_rows(self.path), *self.waiting])
        except OSError as error:
            storage.lost(self.path, error)
        else:
            storage.written(self.path)
            self.waiting = []
            self.journal = storage.Journal(self.path)

    def rewrite(self, rows: list[dict[str, str]]) -> None:
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with partial.open("wb") as file:
                file.write(self.text(rows, header=True))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def text(self, rows: list[dict[str, str]], header: bool) -> bytes:
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, self.columns, restval="")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return buffer.getvalue().encode()
