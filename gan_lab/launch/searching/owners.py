"""Who works on a trial, and whether that worker is still alive."""

import os
import socket
from pathlib import Path
from typing import Any

Owner = dict[str, Any]


def myself() -> Owner:
    """This process, as others can recognise it."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "place": place(), "pid": pid, "born": born(pid)}


def place() -> str | None:
    """Where process numbers mean the same: this boot of this machine, in this container.

    None where that cannot be told; host names alone may be the same in many containers.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def born(pid: int) -> str | None:
    """When the process started, which tells it from a later one of the same number; None: dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def is_dead(owner: Owner) -> bool:
    """Whether it is certain that this worker has ended: it was one of this very place."""
    here = place()
    return here is not None and owner["place"] == here and born(owner["pid"]) != owner["born"]


def describe(owner: Owner) -> str:
    return f"process {owner['pid']} on {owner['host']}"
