"""What a table shows of each run: how its samples came about, and what the doctor saw."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_lab import UserError
from gan_lab.launch import diagnosing
from gan_lab.launch.tabulating.plan import Plan
from gan_lab.training.callbacks.samples import evolution_moments

Figures = dict[str, Any]


def show(plan: Plan, rows: Sequence[Figures], folder: Path, document: Path) -> str:
    """Markdown with the pictures of each finished run, which are written into `folder`.

    Raises:
        OSError, RunError: where they cannot be written.
    """
    parts = []
    for row in rows if plan.show_runs else []:
        name = f"{row['recipe']}-{row['seed']}"
        beside = folder / f"{plan.name}_{name}"
        parts.append(f"### {name}")
        parts += evolution(plan.folder / name, beside, document)
        parts += health(plan.folder / name, beside, document)
    return "\n\n".join(parts)


def evolution(run: Path, beside: Path, document: Path) -> list[str]:
    """The strip that a training leaves at its end: a row a moment, a column a latent."""
    if not (run / "evolution.png").exists():
        return []
    kept = shutil.copyfile(run / "evolution.png", f"{beside}_evolution.png")
    moments = ", ".join(f"{count:,}" for count in evolution_moments(run))
    words = f"After {moments} images, a row a moment, the same latents throughout:"
    return [words, picture(Path(kept), document)]


def health(run: Path, beside: Path, document: Path) -> list[str]:
    """The doctor's verdicts and its page of evidence; nothing for a run without the monitor."""
    try:
        examination = diagnosing.examine(run)
    except UserError:
        return []
    output = beside.with_name(f"{beside.name}_health.json")
    diagnosing.write(output, examination)
    told = "\n".join(examination.diagnosis.lines())
    link = output.relative_to(document.parent).as_posix()
    return [
        f"What the doctor says ([all of it]({link})):\n\n```\n{told}\n```",
        picture(output.with_suffix(".png"), document),
    ]


def picture(path: Path, document: Path) -> str:
    return f"![{path.stem}]({path.relative_to(document.parent).as_posix()})"
