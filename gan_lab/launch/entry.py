"""The common entry of all programs: one run through Hydra's compose, several through its sweeper.

A single run is composed and checked before anything is written, which `hydra.main` cannot do (it
makes the run folder first); everything that Hydra's own flags ask for is left to `hydra.main`.
"""

import os
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra import main as hydra_main
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab import RunError, UserError
from gan_lab.launch import messages, plugins, runs, sweeps, trust
from gan_lab.launch.echo import Echo
from gan_lab.launch.multirun import Multirun
from gan_lab.launch.resolvers import name_jobs_by, register_resolvers

Task = Callable[[DictConfig, Path, list[str]], Any]  # config, output folder, overrides
CONF = next(
    path
    for parent in (Path(__file__).parents[1], Path(__file__).parents[2])
    if (path := parent / "conf").is_dir()
)

_config_dir: ContextVar[str | None] = ContextVar("config_dir", default=None)  # of --config-dir


def program(
    name: str, task: Task, text: str | None, short: Mapping[str, str] | None = None
) -> Callable[[], None]:
    """Return the `main` of a program whose config is conf/NAME.yaml and whose help is `text`.

    `short` has keys that stand for longer ones on the command line: Hydra takes a key that is also
    the name of a group in conf/, like `experiment`, for a choice in that group.
    """

    def main() -> None:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of Hydra's printer
        arguments = sys.argv[1:] = [in_full(argument, short or {}) for argument in sys.argv[1:]]
        if {"-h", "--help"} & set(arguments):
            print(messages.help_text(name, text or "", CONF))
            return
        sys.exit(guarded(name, task, arguments))

    return main


def in_full(argument: str, short: Mapping[str, str]) -> str:
    key, equals, value = argument.partition("=")
    return f"{short.get(key, key)}{equals}{value}"


def guarded(name: str, task: Task, arguments: list[str]) -> int:
    """Run the task; return the exit status, having said in one message what went wrong."""
    further = _config_dir.set(sweeps.config_dir(arguments))
    try:
        if any(argument.startswith("-") for argument in arguments):
            return through_hydra(name, task, arguments)
        with trust.from_command(arguments) as overrides:
            config, folder = compose_run(name, overrides)
            task(config, folder, overrides)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except RunError as error:
        say(f"error: {error}")
        return 1
    except Exception as error:
        text = messages.explain(error, CONF)
        if text is None:
            raise
        say(f"error: {text}")
        return 2
    finally:
        _config_dir.reset(further)
    return 0


def say(text: str) -> None:
    """Print a message; other ranks than the first say which they are, and leave `error:` to it."""
    rank = os.environ.get("LOCAL_RANK", "0")
    print(text if rank == "0" else f"rank {rank}: {text.removeprefix('error: ')}", file=sys.stderr)


def compose_run(name: str, overrides: list[str]) -> tuple[DictConfig, Path]:
    """Compose conf/NAME.yaml with the overrides; return it with the folder that it names."""
    register_resolvers()
    GlobalHydra.instance().clear()
    if not any("hydra.searchpath" in o for o in overrides):
        overrides = [*overrides, *search_path()]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF), job_name=name):
        config = compose(name, overrides=overrides, return_hydra_config=True)
    folder = Path(config.hydra.run.dir)
    with open_dict(config):
        del config["hydra"]
    OmegaConf.set_readonly(config, False)
    return config, folder


def search_path() -> list[str]:
    """The override by which another process finds the configs of --config-dir, too."""
    more = _config_dir.get()
    return [f"hydra.searchpath=['file://{Path(more).absolute()}']"] if more else []


def through_hydra(name: str, task: Task, arguments: list[str]) -> int:
    """Hand over to `hydra.main`: multirun, --cfg, --info, shell completion, --config-dir."""
    register_resolvers()
    # No config has the key `trusted`, so that no file can set it; Hydra has to be told to add it.
    sys.argv[1:] = [f"++{a}" if a.startswith("trusted=") else a for a in sys.argv[1:]]
    vouched = [a for a in arguments if trust.vouches(a)]
    arguments = [a for a in arguments if not trust.vouches(a)]
    sweep = None
    if {"-m", "--multirun"} & set(arguments):
        sweep = prepare_multirun(name, arguments, vouched)

    @hydra_main(version_base="1.3", config_path=str(CONF), config_name=name)
    def job(config: DictConfig) -> Any:
        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        # A file can write into Hydra's list of overrides: trust comes from the command alone.
        overrides = [o for o in hydra.overrides.task if not trust.vouches(o)]
        with trust.from_command(vouched):
            if sweep is not None:
                return sweep.run(task, config, folder, overrides)
            return task(config, folder, overrides)

    echo = Echo()
    tell = [echo.hear, *([] if sweep is None else [sweep.hear])]
    # Hydra reads sys.argv and ignores what `job` is called with.
    try:
        with trust.from_command(vouched), echo, plugins.checked(arguments, *tell):
            job()
    except sweeps.JobFailed as error:
        failed = echo.failed() or [str(error)]
        print(f"error: {len(failed)} failed jobs: {', '.join(failed)}", file=sys.stderr)
        return 1
    return 0


def prepare_multirun(name: str, arguments: list[str], vouched: list[str]) -> Multirun:
    """Refuse a multirun that no job could do; else what its jobs are told, and Hydra beside."""
    name_jobs_by(sweeps.swept_keys(arguments))
    further = [a.lstrip("+") for a in (*vouched, *(runs.search_paths(arguments) or search_path()))]
    if (chosen := sweeps.config_name(arguments)) is None:
        folder = sweeps.check(arguments, partial(compose_run, name))
        sys.argv[1:] = sweeps.settle(sys.argv[1:], folder)
    else:  # whose folder Hydra alone can tell: no search path leads to a primary config
        more = _config_dir.get()
        further += [f"--config-dir={Path(more).absolute()}"] if more else []
        further += [f"--config-name={chosen}"]
    GlobalHydra.instance().clear()
    return Multirun(sweeps.count_jobs(arguments), tuple(further), compose_training, CONF)


def compose_training(overrides: list[str]) -> DictConfig:
    return compose_run("train", overrides)[0]


def require(config: DictConfig, key: str, allowed: str) -> Any:
    """Return `config[key]`, or say that it is missing and what it may be."""
    if OmegaConf.is_missing(config, key) or config[key] is None:
        raise UserError(f"{key}= is missing; it takes {allowed}")
    return config[key]
