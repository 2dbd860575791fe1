"""What a multirun says of its jobs: a line for each that ended, here and in the sweep's folder."""

import contextlib
from pathlib import Path
from threading import Event, Thread
from typing import TextIO

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from gan_lab.launch import launchers

FAILED = ": failed: "
JOBS = "jobs.log"  # in the sweep's folder: a line for each job that ended
ELSEWHERE = ("LocalLauncher", "SlurmLauncher")


def tell(folder: Path, line: str, stream: TextIO) -> None:
    """Say how a job went, here and in the sweep's own log."""
    print(line, file=stream, flush=True)
    with contextlib.suppress(OSError), (folder.parent / JOBS).open("a") as log:
        log.write(line + "\n")


class Echo(Thread):
    """Collects the lines of all jobs; repeats those of jobs whose output goes elsewhere."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.path: Path | None = None
        self.place = 0
        self.aloud = False
        self.lines: list[str] = []
        self.over = Event()

    def hear(self, config: DictConfig) -> None:
        """The config of a multirun, which says where its jobs are."""
        try:
            path = Path(config.hydra.sweep.dir) / JOBS
        except OmegaConfBaseException:
            return  # it depends on the job
        self.aloud = launchers.kind(config.hydra.launcher) in ELSEWHERE
        self.place = path.stat().st_size if path.exists() else 0
        self.path = path

    def failed(self) -> list[str]:
        """The names of the jobs that failed."""
        found = [line.partition(FAILED)[0] for line in self.lines if FAILED in line]
        return [title.partition("] ")[2] for title in found]

    def run(self) -> None:
        while not self.over.wait(0.5):
            self.read()
        self.read()

    def read(self) -> None:
        if self.path is None:
            return
        with contextlib.suppress(OSError), self.path.open() as log:
            log.seek(self.place)
            text = log.read()
            self.place = log.tell()
            self.lines += text.splitlines()
            print(text if self.aloud else "", end="", flush=True)

    def __enter__(self) -> "Echo":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.join()
