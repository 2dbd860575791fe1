"""Reading metrics.csv, also while it is being written, and without importing Lightning."""

import csv
import io
from pathlib import Path


def read_rows(path: Path) -> list[dict[str, str]]:
    """All whole rows of a metrics file; a last line cut short by a crash is left out."""
    if not path.is_file():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.DictReader(io.StringIO(whole, newline="")))
    return [row for row in rows if None not in row.values() and row.get("images_seen")]
