"""The doctor's calibration: illnesses made on purpose and healthy runs, and what is said of them.

  python benchmarks/doctor.py runs              train what is missing into runs/doctor (resumable)
  python benchmarks/doctor.py cures             try every override suggested for an ill run
  python benchmarks/doctor.py tables            confusion, limits and cures as Markdown

Runs take one thread each, two side by side; what they are told was fixed before they were trained.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan_lab.launch.diagnosing import examine
from gan_lab.training import symptoms
from gan_lab.training.diagnosis import PATIENCE, diagnose
from gan_lab.training.history import History, Series, is_probe
from gan_lab.training.symptoms import counting

FOLDER = Path("runs/doctor")
JOBS = 2
COMMON = "callbacks.health.every=10000 callbacks.evaluation=null trainer.log_every_n_steps=20"
EPOCHS = "trainer.max_epochs=2 trainer.limit_train_batches=312"  # 80,000 images in batches of 128
NARROW = "networks.generator.width=16 networks.discriminator.width=16"  # DCGAN, twice as fast
MLP = "experiment=mlp_mnist"
RATES = "optimizer.generator.lr={0} optimizer.discriminator.lr={0}"
BETAS = "optimizer.generator.betas=[{0}] optimizer.discriminator.betas=[{0}]"
LONG = "trainer.max_epochs=10 callbacks.evaluation=null callbacks.health.every=25000"  # 500,000
EPOCHS_50 = "callbacks.evaluation=null callbacks.health.every=40000"  # 2,496,000 images
POINTS = "callbacks.health.every=25000 callbacks.evaluation=null"
BROKEN = ("divergence", "mode collapse", "not learning")
FEW = ("mode collapse", "partial collapse")
WORSE = ("deterioration",)
LIMITS = (  # conditions that go together in gan_lab/training/symptoms.py are listed apart
    ("mode collapse", "duplicates", ">", symptoms.DUPLICATES),
    ("mode collapse", "effective_classes", "<", symptoms.FEW),
    ("mode collapse", "spread", "<", symptoms.ALIKE),
    ("not learning", "distance", ">", symptoms.VERY_FAR),
    ("vanishing generator gradient", "loss_slope", "<", symptoms.SLOPE),
    ("critic too strong", "critic_auc", ">", symptoms.WON),
    ("critic too strong", "distance", ">", symptoms.FAR),
    ("critic too weak", "critic_auc", "<", symptoms.BLIND),
    ("critic memorising", "memorising", ">", symptoms.BY_HEART),
    ("deterioration", "distance over its best", ">", symptoms.PAST_BEST),
    ("deterioration", "distance above its best", ">", symptoms.LOST),
    ("oscillation", "swing", ">", symptoms.SWING),
    ("oscillation", "reversal", "<", symptoms.TO_AND_FRO),
)


@dataclass(frozen=True)
class Case:
    """A run, and the names one of which it has to get; a healthy run gets none."""

    name: str
    overrides: str
    expected: tuple[str, ...] = ()
    budget: str = f"{EPOCHS} {COMMON}"

    @property
    def folder(self) -> Path:
        kind = "ill" if self.expected else "healthy"
        return FOLDER / kind / plain(self.name.replace("'", ""))

    @property
    def command(self) -> list[str]:
        return [*self.overrides.split(), *self.budget.split()]


ILL = (
    Case("generator's rate x100", f"{NARROW} optimizer.generator.lr=0.2", BROKEN),
    Case("critic's rate x100", f"{NARROW} optimizer.discriminator.lr=0.2", BROKEN),
    Case("both rates x100, MLP", f"{MLP} {RATES.format('0.1')}", BROKEN),
    Case("generator's rate /1000", f"{NARROW} optimizer.generator.lr=2e-6", ("not learning",)),
    Case("generator frozen", f"{NARROW} optimizer.generator.lr=0", ("not learning",)),
    Case("critic frozen", f"{NARROW} optimizer.discriminator.lr=0", ("critic too weak",)),
    Case(
        "critic of 8 units", f"{MLP} networks.discriminator.hidden=[8]", ("critic too weak", *FEW)
    ),
    Case(
        "critic of 1 filter",
        "networks.generator.width=16 networks.discriminator.width=1",
        ("critic too weak", *FEW),
    ),
    Case(
        "data of one class",
        f"{NARROW} data.classes=[3]",
        ("mode collapse",),
        f"trainer.max_epochs=15 {COMMON}",
    ),
    Case(
        "minimax, n_critic 20",
        f"{NARROW} objective=minimax penalty=none n_critic=20",
        ("vanishing generator gradient", "critic too strong", "not learning"),
    ),
    Case(
        "minimax, strong critic, MLP",
        f"{MLP} objective=minimax optimizer.generator.lr=1e-4 optimizer.discriminator.lr=3e-3 "
        "networks.discriminator.dropout=0",
        ("vanishing generator gradient", "critic too strong", "not learning", *FEW),
    ),
    Case("momentum 0.99", f"{NARROW} {BETAS.format('0.99,0.999')}", BROKEN),
    Case("momentum 0.99, MLP", f"{MLP} {BETAS.format('0.99,0.999')}", BROKEN),
    Case("penalty x1000", f"{NARROW} penalty.r1.gamma=200", ("critic too weak",)),
    Case("no noise", f"{NARROW} networks.generator.latent_dim=1", FEW),
    Case(
        "200 images, no penalty",
        f"{NARROW} data.subset=200 penalty=none data.batch_size=50",
        ("critic memorising",),
        f"trainer.max_epochs=400 {COMMON}",
    ),
    Case(
        "ring, generator's rate x30, no penalty",
        "experiment=ring_gan penalty.r1.gamma=0 optimizer.generator.lr=0.03",
        BROKEN,
        POINTS,
    ),
    Case("MLP for 50 epochs", "experiment=mlp_mnist_long", WORSE, EPOCHS_50),
    Case("MLP for 50 epochs, again", "experiment=mlp_mnist_long seed=18", WORSE, EPOCHS_50),
)
HEALTHY = (
    Case("dcgan_mnist", "experiment=dcgan_mnist seed=0"),
    Case("dcgan_mnist, width 16", f"{NARROW} seed=1"),
    Case("dcgan_mnist, width 16, seed 2, constant rate", f"{NARROW} seed=2 schedule=constant"),
    Case("dcgan_paper_mnist", "experiment=dcgan_paper_mnist seed=3"),
    Case("mlp_mnist", f"{MLP} seed=4", budget=LONG),
    Case("mlp_mnist, least squares", f"{MLP} objective=least_squares seed=5", budget=LONG),
    Case("least squares", f"{NARROW} objective=least_squares seed=6"),
    Case("minimax", f"{NARROW} objective=minimax seed=7"),
    Case("Fashion-MNIST", f"{NARROW} data=fashion_mnist seed=8"),
    Case(
        "resnet",
        "networks=resnet seed=9 networks.generator.width=16 "
        f"networks.discriminator.width=16 {RATES.format('5e-4')}",
    ),
    Case(
        "batch 64",
        f"{NARROW} data.batch_size=64 {RATES.format('1e-3')} seed=10",
        budget=f"trainer.max_epochs=2 trainer.limit_train_batches=624 {COMMON}",
    ),
    Case("n_critic 2", f"{NARROW} n_critic=2 seed=11"),
    Case(
        "5,000 images",
        f"{NARROW} data.subset=5000 seed=12",
        budget=f"trainer.max_epochs=16 {COMMON}",
    ),
    Case(
        "batch of 2, batch norm",  # thought to be ill: neither of the two is
        f"experiment=dcgan_paper_mnist {NARROW} data.batch_size=2",
        budget=f"trainer.max_epochs=2 trainer.limit_train_batches=10000 {COMMON} "
        "callbacks.health.every=5000",
    ),
    Case(
        "batch of 2",
        f"{NARROW} data.batch_size=2 seed=17",
        budget=f"trainer.max_epochs=2 trainer.limit_train_batches=8000 {COMMON} "
        "callbacks.health.every=5000",
    ),
    Case("32x32", f"{NARROW} data.image_size=32 seed=13"),
    Case(
        "two classes",
        f"{NARROW} data.classes=[0,1] seed=14",
        budget=f"trainer.max_epochs=8 {COMMON}",
    ),
    Case("ring", "experiment=ring_gan seed=15", budget=POINTS),
    Case("grid", "experiment=grid_gan seed=16", budget=POINTS),
    Case(
        "a million images",
        f"{NARROW} seed=19",
        budget="trainer.max_epochs=20 callbacks.evaluation=null callbacks.health.every=40000",
    ),
)


def train(folder: Path, overrides: Iterable[str]) -> None:
    """Train unless it is done; the output lies beside the run."""
    if (folder / "result.json").exists():
        return
    if (folder / "config.yaml").exists():
        overrides = [f"resume={folder}"]
    else:
        overrides = [*overrides, f"hydra.run.dir={folder}"]
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "gan_lab.train", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with folder.with_name(f"{folder.name}.log").open("w") as log:
        status = subprocess.run(command, stdout=log, stderr=log, env=environment).returncode
    print(f"{folder.name}: exit status {status}", flush=True)


def train_all(jobs: Iterable[tuple[Path, list[str]]]) -> None:
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(lambda job: train(*job), jobs))


def said(folder: Path) -> list[str]:
    """Names of the findings at the end of a run."""
    return [finding.name.value for finding in examine(folder).diagnosis.findings]


def cures(case: Case) -> dict[str, Path]:
    """Each override that the doctor suggests for an ill run -> where it is tried."""
    suggested = [r for f in examine(case.folder).diagnosis.findings for r in f.remedies]
    place = FOLDER / "cures" / case.folder.name
    return {remedy: place / plain(remedy) for remedy in dict.fromkeys(suggested)}


def plain(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "_", text.lower()).strip("_")


def treatment(case: Case, remedy: str) -> list[str]:
    """The ill run with the override, for as long as its recipe needs when it is well."""
    budget = LONG if MLP in case.overrides.split() else case.budget
    if remedy in ("data.subset=null", "data.classes=null"):
        budget = f"{EPOCHS} {COMMON}"
    # The later of two overrides of one key counts.
    words = [*case.overrides.split(), *budget.split(), *remedy.split()]
    merged = dict(text.split("=", 1) for text in words)
    return [f"{key}={value}" for key, value in merged.items()]


def on_the_way(folder: Path) -> list[str]:
    """Names that the monitor, with today's limits, would have told at any probe of a run."""
    history, names = History(), []
    for row in examine(folder).history.rows:
        history.add(row)
        if is_probe(row):
            names += [finding.name.value for finding in diagnose(history, {}).findings]
    return list(dict.fromkeys(names))


def confusion_table() -> Iterator[str]:
    yield "| run | overrides | at its end | on the way | as expected |"
    yield "|---|---|---|---|---|"
    right = {True: 0, False: 0}
    for case in trained(*ILL, *HEALTHY):
        names = said(case.folder)
        fits = bool(set(names) & set(case.expected)) if case.expected else not names
        right[bool(case.expected)] += bool(names) == bool(case.expected)
        what = ", ".join(names) or examine(case.folder).diagnosis.verdict.value
        passing = ", ".join(name for name in on_the_way(case.folder) if name not in names)
        cells = (case.name, f"`{case.overrides}`", what, passing, "yes" if fits else "no")
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield (
        f"Told apart at the end: {right[True]} of {len(ILL)} ill runs, "
        f"{right[False]} of {len(HEALTHY)} healthy ones."
    )


def trained(*cases: Case) -> list[Case]:
    return [case for case in cases if (case.folder / "result.json").exists()]


def measured(history: History, name: str) -> Series:
    """A measure of the monitor at each probe, or one that a rule makes of it."""
    present = symptoms.present_distance(history)
    best = np.maximum(symptoms.best_distance(history), 1e-3)
    made = {"distance over its best": present / best, "distance above its best": present - best}
    return made[name] if name in made else history[name]


def limit_table() -> Iterator[str]:
    """How near each limit healthy runs come, and how far beyond it ill ones are."""
    yield "| verdict | measure | limit | healthy: worst probe | ill: clearest | least clear |"
    yield "|---|---|---|---|---|---|"
    healthy = [examine(case.folder).history for case in trained(*HEALTHY)]
    for verdict, name, sign, limit in LIMITS:
        worst = np.nanmax if sign == ">" else np.nanmin
        best = np.nanmin if sign == ">" else np.nanmax
        ends = [
            values[-PATIENCE:].mean()
            for case in trained(*ILL)
            if verdict in said(case.folder)
            and np.isfinite(values := measured(examine(case.folder).history, name)).any()
        ]
        near = [measured(h, name)[counting(h)] for h in healthy]
        cells = [worst(np.concatenate(near))] + ([worst(ends), best(ends)] if ends else [])
        shown = [f"{cell:.3g}" for cell in cells] + ["none"] * (3 - len(cells))
        label = name if " " in name else f"`{name}`"
        yield f"| {verdict} | {label} | {sign} {limit:g} | {' | '.join(shown)} |"


def cure_table() -> Iterator[str]:
    yield "| run | override | then |"
    yield "|---|---|---|"
    cured = tried = 0
    for case in trained(*ILL):
        for remedy, folder in cures(case).items():
            tried += 1
            names = said(folder) if (folder / "result.json").exists() else ["refused, or not run"]
            cured += not names
            what = ", ".join(names) or examine(folder).diagnosis.verdict.value
            yield f"| {case.name} | `{remedy}` | {what} |"
    yield ""
    yield f"{cured} of {tried} suggestions cured."


def main(task: str) -> None:
    if task == "runs":
        train_all((case.folder, case.command) for case in (*HEALTHY, *ILL))
    elif task == "cures":
        trials = [(case, *item) for case in ILL for item in cures(case).items()]
        train_all((folder, treatment(case, remedy)) for case, remedy, folder in trials)
    elif task == "tables":
        for table in (confusion_table, limit_table, cure_table):
            print("\n".join(table()), end="\n\n")
    else:
        sys.exit(f"{task} is none of runs, cures, tables")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tables")
