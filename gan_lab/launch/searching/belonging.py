"""Whether what lies in a folder is this study's own: another's must never be taken for it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

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


def refuse_other_trials(
    output: Path, content: Mapping[str, Any], trials: Sequence["FrozenTrial"], storage: str
) -> None:
    """Raise UserError where the folder holds trials that this study has not, or has otherwise.

    What is compared are the trials: the same database may be reached by several addresses.

    Args:
        content: of the folder's study.json.
        trials: of the study, read after that: others work on it, and both only become more.
        storage: the address of its database, without a password.
    """
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
    other = [key for key in sorted(told | telling) if not same(told.get(key), telling.get(key))]
    if other:
        before, now = (shown(words, other) for words in (told, telling))
        raise UserError(
            f"{folder} holds another training, of {before}; this trial is of {now}; "
            "choose another output=, or remove that folder"
        )


def last_words(overrides: Sequence[str]) -> dict[str, str]:
    """What counts of them, by key: of one that is given twice, the last."""
    given = [text for text in map(str, overrides) if not text.lstrip("+").startswith(ASIDE)]
    return {text.partition("=")[0]: text for text in given}


def same(one: str | None, other: str | None) -> bool:
    """Whether two overrides say the same: a database gives 0.0 back where it was given 0."""
    if one is None or other is None:
        return one == other
    return one == other or meaning(one) == meaning(other)


def meaning(override: str) -> tuple[bool, Any]:
    """The value that Hydra reads in it, and whether that is true or false, which are no numbers."""
    try:
        value = OverridesParser.create().parse_override(override).value()
    except HydraException:
        return False, override
    return isinstance(value, bool), value


def shown(words: Mapping[str, str], keys: Sequence[str]) -> str:
    return " ".join(words[k] for k in keys if k in words) or "nothing beside what both are told"


def read_study(output: Path) -> dict[str, Any]:
    """study.json; empty where there is none."""
    try:
        return dict(json.loads((output / "study.json").read_text()))
    except (OSError, ValueError):
        return {}
