"""Whether what lies in a folder is this study's own: another's must never be taken for it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_lab import UserError
from gan_lab.launch.runs import read_run

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

ASIDE = ("hydra.", "trusted=", "resume=")  # overrides that say nothing of what is learnt


def refuse_other_study(output: Path, name: str) -> None:
    """Raise UserError where the folder holds a study of another name."""
    known = read_study(output).get("name", name)
    if known != name:
        raise UserError(
            f"output={output} holds the study {known}, not {name}, whose trainings would be taken "
            "for its own; choose another output=, or remove that folder"
        )


def refuse_other_trials(output: Path, trials: Sequence["FrozenTrial"], storage: str) -> None:
    """Raise UserError where the folder holds trials that this study has not, or has otherwise.

    What is compared are the trials: the same database may be reached by several addresses.

    Args:
        trials: of the study, read after this folder's were written.
        storage: the address of its database, without a password.
    """
    content = read_study(output)
    known = {trial.number: trial.params for trial in trials}
    for entry in content.get("trials", []):
        number, params = entry["number"], entry["params"]
        if number not in known or not params.items() <= known[number].items():
            raise UserError(
                f"output={output} holds trial {number} of the study in {content['storage']}, which "
                f"the one in storage={storage} has not, or with other settings; give the storage= "
                "that it had, choose another output=, or remove that folder"
            )


def refuse_other_run(folder: Path, overrides: Sequence[str]) -> None:
    """Raise UserError where the folder holds a run that was told something else than this."""
    try:
        history = read_run(folder)[1]
    except UserError:  # there is none, or none that could be gone on with
        return
    told, telling = last_words(history.get("command") or []), last_words(overrides)
    if told != telling:
        before, now = (sorted(a - b) for a, b in ((told, telling), (telling, told)))
        raise UserError(
            f"{folder} holds another training, of {shown(before)}; this trial is of {shown(now)}; "
            "choose another output=, or remove that folder"
        )


def last_words(overrides: Sequence[str]) -> set[str]:
    """What counts of them: of a key that is given twice, the last one."""
    given = [text for text in map(str, overrides) if not text.lstrip("+").startswith(ASIDE)]
    return set({text.partition("=")[0]: text for text in given}.values())


def shown(overrides: list[str]) -> str:
    return " ".join(overrides) or "nothing beside what both are told"


def read_study(output: Path) -> dict[str, Any]:
    """study.json; empty where there is none."""
    try:
        return dict(json.loads((output / "study.json").read_text()))
    except (OSError, ValueError):
        return {}
