"""Hydra's launchers as this machine sees them: how many jobs each runs here at a time."""

import sys
from collections.abc import Callable

from omegaconf import DictConfig, ListConfig

from gan_lab.launch.shares import NO_MACHINE, Machine

LIMIT = "hydra.launcher.timeout_min"
AN_HOUR = 60  # minutes; the plugin's own limit
A_YEAR = 365 * 24 * 60


def of_joblib(launcher: DictConfig, machine: Machine, ranks: int) -> int:
    """-1 means all cores to joblib, -2 all but one; a rank of a job needs one, too."""
    asked = launcher.n_jobs
    return asked if asked > 0 else max(1, (machine.cores + 1 + asked) // ranks)


def of_submitit(launcher: DictConfig, machine: Machine, ranks: int) -> int:
    return max(1, (len(machine.gpus) or machine.cores) // ranks)


AT_ONCE: dict[str, Callable[[DictConfig, Machine, int], int | None]] = {
    "BasicLauncher": lambda launcher, machine, ranks: None,  # one after the other
    "JoblibLauncher": of_joblib,
    "LocalLauncher": of_submitit,
}
DIVIDES = ("JoblibLauncher", "LocalLauncher")


def at_once(launcher: DictConfig, machine: Machine, ranks: int) -> int | None:
    """How many jobs, of `ranks` processes each, the launcher may run here at a time.

    None for one, in this very process; 0 where it is not for us to divide the machine, as under
    Slurm.
    """
    return AT_ONCE.get(kind(launcher), lambda *_: 0)(launcher, machine, ranks)


def machine(launcher: DictConfig) -> Machine:
    """What its jobs divide; nothing is looked for where that is not for us."""
    return Machine.find() if kind(launcher) in DIVIDES else NO_MACHINE


def let_wait(hydra: DictConfig) -> None:
    """Let the jobs of submitit_local wait for a place, which its limit of an hour counts, too.

    Args:
        hydra: its settings, where the limit becomes a year, unless one was chosen.
    """
    chosen = any(text.lstrip("+").startswith(f"{LIMIT}=") for text in hydra.overrides.hydra)
    local = kind(hydra.launcher) == "LocalLauncher"
    if local and not chosen and hydra.launcher.timeout_min == AN_HOUR:
        hydra.launcher.timeout_min = A_YEAR


def ranks(launcher: DictConfig, trainer: DictConfig) -> int:
    """The processes of one training on this machine."""
    if kind(launcher) in AT_ONCE:  # without torch, which this process does not need
        asked = trainer.devices
        if isinstance(asked, ListConfig):
            return max(1, len(asked))
        return asked if isinstance(asked, int) and asked > 0 else 1
    from gan_lab.launch import hardware

    return hardware.count_devices(dict(trainer))


def explain(error: Exception) -> str | None:
    """Say what the user can do about a job that its launcher ended; None for any other error."""
    submitit = sys.modules.get("submitit.core.utils")
    if submitit is None or not isinstance(error, submitit.UncompletedJobError):
        return None
    return (
        "its time was over (hydra.launcher.timeout_min); the same command with the same "
        "hydra.sweep.dir goes on with it, and more minutes let it end"
    )


def kind(launcher: DictConfig) -> str:
    return str(launcher._target_).rpartition(".")[2]
