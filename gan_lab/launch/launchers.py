"""Hydra's launchers as this machine sees them: how many jobs each runs here at a time."""

from collections.abc import Callable

from omegaconf import DictConfig

from gan_lab.launch.shares import count_cores, joblib_jobs, list_gpus

AT_ONCE: dict[str, Callable[[DictConfig], int | None]] = {
    "BasicLauncher": lambda launcher: None,  # one after the other
    "JoblibLauncher": lambda launcher: joblib_jobs(launcher.n_jobs),
    "LocalLauncher": lambda launcher: len(list_gpus()) or count_cores(),
}


def at_once(launcher: DictConfig) -> int | None:
    """How many jobs the launcher runs here at a time: None for one, in this very process.

    0 where it is not for us to divide the machine, as under Slurm.
    """
    return AT_ONCE.get(kind(launcher), lambda _: 0)(launcher)


def ranks(launcher: DictConfig, trainer: DictConfig) -> int:
    """The processes of one training on this machine."""
    if kind(launcher) in AT_ONCE:  # without torch, which this process does not need
        asked = trainer.devices
        return asked if isinstance(asked, int) and asked > 0 else 1
    from gan_lab.launch import hardware

    return hardware.count_devices(dict(trainer))


def kind(launcher: DictConfig) -> str:
    return str(launcher._target_).rpartition(".")[2]
