"""Plays a training for tests of what starts trainings: same files, same signals, no torch.

`python -m tests.play_training FOLDER KEY=VALUE ...`; the metric is the distance of the generator's
learning rate from 1e-3, in decades. It ends once the file GAN_LAB_PLAY_GATE names is there, and
sleeps for GAN_LAB_PLAY_NAP seconds in each step.
"""

import json
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from gan_lab.launch.jobs import Job
from gan_lab.launch.lock import Lock

STEPS = 10
stopped = False


def stop(number: int, frame: FrameType | None) -> None:
    global stopped
    stopped = True


def play(folder: Path, overrides: Sequence[str]) -> int:
    given = dict(text.partition("=")[::2] for text in overrides)
    folder.mkdir(parents=True, exist_ok=True)
    Lock(folder).take()
    with (folder / "starts").open("a") as file:
        file.write(f"{os.getpid()}\n")
    if (refused := given.get("n_critic")) == "0":
        print(f"error: n_critic={refused} is refused")
        return 2
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    (folder / "config.yaml").write_text(f"name: played\nseed: {given.get('seed', 0)}\n")
    history = {"command": list(overrides), "resumed": []}
    (folder / "overrides.yaml").write_text(json.dumps(history))
    rate = float(given.get("optimizer.generator.lr", 1e-3))
    far, done = abs(math.log10(rate / 1e-3)), len(read(folder))
    for step in range(done, STEPS):
        time.sleep(float(os.environ.get("GAN_LAB_PLAY_NAP", "0")))
        if step == STEPS - 1:
            wait_for_gate()
        if stopped:
            result.write_text(json.dumps({"status": "interrupted"}))
            return 143
        ill = int(given.get("seed") == "13")
        row = f"{step + 1},{far + 1 / (step + 1)},{ill}\n"
        head = "" if step else "images_seen,val/fid,verdict/mode_collapse\n"
        with (folder / "metrics.csv").open("a") as file:
            file.write(head + row)
    if given.get("seed") == "666":
        result.write_text(json.dumps({"status": "diverged"}))
        print("error: diverged after 3 images")
        return 1
    best = {"images_seen": STEPS, "fid": far, "recall": 1 / (1 + far)}
    ended = {
        "status": "finished",
        "metric": far,
        "best": best,
        "seconds": 0.5,
        "images_seen": STEPS,
    }
    result.write_text(json.dumps(ended))
    return 0


def wait_for_gate() -> None:
    gate = os.environ.get("GAN_LAB_PLAY_GATE")
    while gate and not stopped and not Path(gate).exists():
        time.sleep(0.02)


def read(folder: Path) -> list[str]:
    """The steps that are done."""
    try:
        return (folder / "metrics.csv").read_text().splitlines()[1:]
    except OSError:
        return []


def command(job: Job) -> list[str]:
    """In the place of Job.command."""
    return [sys.executable, "-m", "tests.play_training", str(job.folder), *job.overrides]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    sys.exit(play(Path(sys.argv[1]), sys.argv[2:]))
