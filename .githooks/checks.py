"""Checks before a commit: `staged` runs the hooks of .pre-commit-config.yaml on what is staged."""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

MAX_BYTES = 1_000_000


def staged() -> list[str]:
    """Run each hook on the staged files that it is for; name those that failed."""
    command = ["git", "diff", "--cached", "--name-only", "--diff-filter=ACMR", "-z"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    paths = [path for path in listed.split("\0") if path and not Path(path).is_symlink()]
    failed = []
    for hook in yaml.safe_load(Path(".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]:
        chosen = [path for path in paths if re.search(hook["files"], path)]
        if chosen and subprocess.run([*hook["entry"].split(), *chosen]).returncode:
            failed.append(f"not committed, for this failed: {hook['name']}")
    return failed


def notebooks(*paths: str) -> list[str]:
    """A notebook is committed as a reader meets it: run once, in order, without an error."""
    return [f"{path}: {fault}" for path in paths for fault in faults(Path(path).read_text())]


def faults(text: str) -> list[str]:
    try:
        cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code" and c["source"]]
        counts = [cell["execution_count"] for cell in cells]
        kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    except (ValueError, KeyError, TypeError) as error:
        return [f"is no notebook of format 4 ({error!r})"]
    found = [] if "error" not in kinds else ["a cell ended with an error"]
    if counts != list(range(1, len(cells) + 1)):
        found.append("did not run once from top to bottom; run all cells in a fresh kernel")
    return found


def large_files(*paths: str) -> list[str]:
    sizes = {path: Path(path).stat().st_size for path in paths}
    advice = f"more than {MAX_BYTES:,}; git keeps every version of it for ever"
    return [f"{path}: {size:,} bytes, {advice}" for path, size in sizes.items() if size > MAX_BYTES]


CHECKS = {"staged": staged, "notebooks": notebooks, "large_files": large_files}

if __name__ == "__main__":
    sys.exit("\n".join(CHECKS[sys.argv[1]](*sys.argv[2:])) or None)
