"""A search from its settings to its end: open the study, work, report."""

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from gan_lab import RunError, UserError
from gan_lab.launch.searching import belonging, storage
from gan_lab.launch.searching import report as reports
from gan_lab.launch.searching.pruning import pruner
from gan_lab.launch.searching.settings import Settings
from gan_lab.launch.searching.stages import Finalists, Trials
from gan_lab.launch.searching.turns import Turn, turn_of
from gan_lab.launch.searching.worker import Worker

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage

DEFINITION = "definition"


def search(settings: Settings, command: list[str], further: list[str]) -> None:
    """Work on the study until it is finished, leave study.json, print who is best.

    Args:
        command: of the search, for the record.
        further: what every training is told besides.
    """
    belonging.refuse_other_study(settings.output, settings.name)
    url = storage.read_url(settings.storage, settings.output)
    opened = storage.connect(url)
    insist = storage.Patience().insist
    turn = insist(lambda: turn_of(opened.engine, settings.name))
    searched, repeated = (
        insist(partial(open_study, opened, turn, settings, part)) for part in ("", ".finalists")
    )
    address = storage.without_password(url)
    written = belonging.read_study(settings.output)  # before the trials, which only become more
    known = insist(partial(searched.get_trials, deepcopy=False))
    belonging.refuse_other_trials(settings.output, written, known, address)
    trials = Trials(settings, searched, turn)
    finalists = Finalists(settings, repeated, turn, trials)
    report = reports.Report(settings, trials, finalists, address, shown(command, address))
    insist(report.write)  # a folder that cannot be written says so now
    Worker(settings, report, further).work([trials, finalists])
    content = insist(report.write)
    print(reports.table(content))
    if not content["best"]:
        raise RunError(f"no trial was complete; {settings.output / 'study.json'} says why")


def shown(command: list[str], address: str) -> list[str]:
    """The command, for everyone to read: the storage's address without its password."""
    return [f"storage={address}" if o.lstrip("+").startswith("storage=") else o for o in command]


def open_study(opened: "RDBStorage", turn: Turn, settings: Settings, part: str) -> "Study":
    """The study of this name, made if there is none.

    Raises:
        UserError: where one is there that searches something else.
    """
    import optuna

    with turn:
        study = optuna.create_study(
            storage=opened,
            study_name=settings.name + part,
            directions=cast(Any, list(settings.objectives.values())),
            pruner=pruner(settings),
            load_if_exists=True,
        )
        known = study.user_attrs.get(DEFINITION)
        if known is None:
            study.set_user_attr(DEFINITION, settings.definition)
    for key, value in settings.definition.items():
        if known is not None and known.get(key) != value:
            raise UserError(
                f"study={settings.study} is there already with {key} {known.get(key)}, not "
                f"{value}; choose another study=NAME, or give what it had"
            )
    return study
