"""How a run ended, or that it has not: from its result.json, its lock and its last rows."""

import os
import re
import socket
from pathlib import Path
from typing import Any

from gan_lab.launch import lock
from gan_lab.launch.diagnosing import broken_measures
from gan_lab.launch.jobs import LOG
from gan_lab.training.history import History


def state(folder: Path, result: dict[str, Any], history: History) -> tuple[str, str]:
    """How the run ended, or that it has not, and why."""
    if "status" not in result:
        return state_without_result(folder)
    status = str(result["status"])
    why = str(result.get("reason") or "")
    if status == "diverged" and not why:
        return status, broken_measures(history)
    if status == "failed" and not why:
        return status, last_error(folder) or "it ended with an error, which its output names"
    if status == "interrupted" and not why:
        return status, f"stopped by a signal; it goes on with resume={folder}"
    return status, why


def last_error(folder: Path) -> str:
    """The last message in the log of a training that another program has started."""
    try:
        lines = (folder / LOG).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return said[-1][:500] if said else ""


def state_without_result(folder: Path) -> tuple[str, str]:
    """Whether the process that signed the lock is still there; nobody's lock is touched."""
    try:
        owner = (folder / lock.NAME).read_text(errors="replace").strip()[:200]
    except OSError:
        owner = ""
    found = re.match(r"process (\d+) on (\S+)", owner)
    if found is None:
        return "killed", f"it left no result.json; it goes on with resume={folder}"
    if found[2] != socket.gethostname():
        return "running", f"{owner}, another host: perhaps it was killed there"
    if alive(int(found[1])):
        return "running", owner
    return "killed", f"{owner} is gone; it goes on with resume={folder}"


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # it is somebody else's
    return True
