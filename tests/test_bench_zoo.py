"""The fair table: what it asks for, what it trains and measures, who is better than whom."""

import copy
import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from gan_lab import UserError
from gan_lab.bench_zoo import bench_zoo
from gan_lab.launch import assemble
from gan_lab.launch.entry import CONF, compose_run, guarded
from gan_lab.launch.tabulating import markdown, plots, ranking, records, reporting, running
from gan_lab.launch.tabulating.measuring import MEASURED, Curve, read_measured
from gan_lab.launch.tabulating.plan import Job, Plan
from gan_lab.metrics.card import PROTOCOL
from gan_lab.training import checkpoint
from gan_lab.training.callbacks.samples import evolution_moments
from tests.conftest import run_generate, run_train

TABLES = sorted(path.stem for path in (CONF / "table").glob("*.yaml"))
POINTS = """# Points, hardly trained.
name: points
title: Points
seconds: null
seeds: [0, 1]
overrides: [trainer.max_epochs=1, trainer.limit_train_batches=4]
shares: [0.5]
images: [100]
curve_images: 100
num_images: 200
metrics: null
rank_by: mode_kl
show_runs: true
recipes:
  ring: [experiment=ring_gan]
  grid: [experiment=grid_gan]
"""


def call(*overrides: str) -> int:
    return guarded("bench_zoo", bench_zoo, list(overrides))


def plan_of(*overrides: str) -> Plan:
    """A copy: a plan composes all of its recipes, which takes seconds."""
    return copy.deepcopy(composed(*overrides))


@cache
def composed(*overrides: str) -> Plan:
    return Plan.of(compose_run("bench_zoo", list(overrides))[0])


@pytest.fixture
def points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides of a table of points in a folder of its own."""
    (tmp_path / "conf" / "table").mkdir(parents=True)
    (tmp_path / "conf" / "table" / "points.yaml").write_text(POINTS)
    search = f"hydra.searchpath=['file://{tmp_path / 'conf'}']"
    return [search, "table=points", f"output={tmp_path / 'runs'}"]


def row(recipe: str, seed: int, fid: float, **changes: Any) -> dict[str, Any]:
    """A finished run as `reporting.read` gives it."""
    values = {"fid": fid, "kid": fid / 100, "precision": 0.5 + seed / 50, "recall": 0.6}
    metrics = {k: {"value": v, "floor": 0.2, "ceiling": 100.0} for k, v in values.items()}
    curve = [
        {"at": "images_50000", "images_seen": 50000, "seconds": 20.0, "fid": 4 * fid},
        {"at": "share_0.5", "images_seen": 100000, "seconds": 60.0, "fid": 2 * fid},
        {"at": "last", "images_seen": 200000, "seconds": 120.0, "fid": fid},
    ]
    card = {"num_fake": 10000, "num_real": 10000, "split": "test", "data": "mnist"}
    card |= {"num_train": 50000}
    best = {"at": "last", "images_seen": 200000, "seconds": 120.0, "fid": fid}
    kept = {"status": "finished", "images_seen": 200000, "seconds": 120.0}
    found = {"metrics": metrics, "curve": curve, "card": card, "best": best, **kept}
    found |= {"parameters": {"generator": 10, "discriminator": 5}, "verdicts": ["healthy"]}
    found |= {"machine": "A machine.", "placement": {"at_once": 2, "threads": 1}}
    return {"recipe": recipe, "seed": seed, **found, **changes}


GROUPS = {
    "slow": [row("slow", seed, 9.0 + seed / 10) for seed in range(3)],
    "quick": [row("quick", seed, 2.0 + seed / 50) for seed in range(3)],
    "rival": [row("rival", seed, 2.02 + seed / 50) for seed in range(3)],
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.slow
def test_every_table_is_sound_and_every_recipe_composes(name: str, tmp_path: Path):
    plan = plan_of(f"table={name}", f"output={tmp_path}")
    assert plan.name == name
    assert len(plan.jobs()) == len(plan.recipes) * len(plan.seeds)
    folders = [job.folder for job in plan.jobs()]
    assert len(set(folders)) == len(folders)
    assert all(f"seed={job.seed}" in job.overrides for job in plan.jobs())


def test_main_table_has_every_recipe_for_mnist_images():
    """A new recipe for MNIST belongs into the table, unless it is a long run."""
    names = {path.stem for path in (CONF / "experiment").glob("*_mnist.yaml")}
    assert set(compose_run("bench_zoo", [])[0].table.recipes) == names


@pytest.mark.slow
def test_same_budget_for_every_run():
    budgets = set()
    for job in plan_of().jobs():
        config, _ = compose_run("train", job.overrides)
        budgets.add((str(config.trainer.max_time), config.trainer.max_epochs))
        assert config.callbacks.evaluation is None
    assert budgets == {("{'milliseconds': 120000}", None)}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["table.seeds=[]"], "table.seeds=[]"),
        (["table.seeds=[1,1]"], "table.seeds=[1, 1]"),
        (["table.seconds=0"], "table.seconds=0"),
        (["table.rank_by=beauty"], "table.rank_by=beauty"),
        (["table.metrics=[fad]"], "fad"),
        (["table.curve_images=3"], "table.curve_images=3"),
        (["only=[gone]"], "only=['gone']"),
        (["+table.colour=red"], "colour"),
        (
            ["table.recipes.mlp_mnist_long=['experiment=gone']"],
            "experiment=gone is not an option",
        ),
        (["table.overrides=['optimizer.generator.rate=1']"], "rate"),
        (["table.shares=[1.0]"], "callbacks.snapshots.shares=[1.0]"),
        (["table=stacked", "table.rank_by=fid"], "table.rank_by=fid"),
        (["table=stacked", "table.metrics=[fid]"], "metrics: null"),
        (["+table.published.gone=1"], "table.published=['gone']"),
        (["train=flase"], "train"),
        (["document=results"], "document=results must be named FILE.md"),
        (["jobs=0"], "jobs=0"),
        (["threads=0"], "threads=0"),
        (["table=gone"], "table=gone is not an option"),
    ],
)
@pytest.mark.slow
def test_wrong_input_is_refused_before_anything_is_written(
    overrides: list[str], said: str, tmp_path: Path, status_and_message: Callable
):
    output = tmp_path / "out"
    small = [] if overrides[0].startswith("table=") else ["table=long"]  # two recipes to compose
    status, message = status_and_message(call, f"output={output}", *small, *overrides)
    assert status == 2
    assert said in message
    assert not output.exists()


@pytest.mark.slow
def test_report_without_a_finished_run_is_refused(tmp_path: Path, status_and_message: Callable):
    status, message = status_and_message(call, f"output={tmp_path}", "train=false")
    assert status == 2
    assert "holds no finished run" in message


def test_ranks_tell_what_seeds_allow():
    ranks = ranking.rank({n: [r["metrics"]["fid"]["value"] for r in g] for n, g in GROUPS.items()})
    assert str(ranks["quick"]) == "1 (1–2)"
    assert str(ranks["rival"]) == "2 (1–2)"
    assert str(ranks["slow"]) == "3"


def test_many_pairs_need_a_clearer_difference():
    """What proves a difference between two alone does not among twelve: Holm's correction."""
    spread = [math.exp(0.01 * z) for z in (-1.26, -0.63, 0.0, 0.63, 1.26)]
    step = math.exp(0.0165)  # t = 2.6: p = 0.03 for two groups, 0.01 times eleven for twelve
    groups = {f"r{i:02}": [step**i * value for value in spread] for i in range(12)}
    assert str(ranking.rank({name: groups[name] for name in ("r00", "r01")})["r00"]) == "1"
    assert str(ranking.rank(groups)["r00"]) == "1 (1–2)"


def test_one_seed_each_proves_nothing():
    assert str(ranking.rank({"a": [1.0], "b": [50.0]})["a"]) == "1 (1–2)"


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30, 31])
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.5])
def test_p_values_are_those_of_students_distribution(t: float, freedom: int):
    places = torch.linspace(-t, t, 20001, dtype=torch.float64)
    inside = torch.trapezoid(
        torch.exp(
            torch.distributions.StudentT(torch.tensor(float(freedom)).double()).log_prob(places)
        ),
        places,
    )
    assert ranking.two_sided(t, freedom) == pytest.approx(1 - inside.item(), abs=1e-6)


def test_table_has_a_line_a_recipe_in_order_of_the_ranks():
    text = markdown.markdown(plan_of(), GROUPS)
    lines = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    assert [line.split("`")[1] for line in lines[:3]] == ["quick", "rival", "slow"]
    assert "2.02 ± 0.02" in lines[0]
    assert "8.08 ± 0.08" in lines[0]  # the same number of images
    assert "*real images*" in text
    assert "A machine." in text


def test_a_recipe_that_diverged_has_no_rank_and_is_named():
    broken = {"recipe": "wild", "seed": 0, "status": "diverged", "metrics": {}, "curve": []}
    broken |= {"images_seen": 500, "seconds": 3.0, "placement": {}}
    groups = {**GROUPS, "wild": [broken]}
    text = markdown.markdown(plan_of(), groups)
    line = next(line for line in text.splitlines() if "`wild`" in line)
    assert "1 diverged" in line
    assert line.split("|")[1].strip() == ""


def test_data_sets_of_different_sizes_have_their_own_floors():
    groups = copy.deepcopy(GROUPS)
    for found in groups["slow"]:
        found["card"]["num_train"] = 500
        found["metrics"]["recall"]["floor"] = 0.7
    text = markdown.markdown(plan_of(), groups)
    line = next(line for line in text.splitlines() if line.startswith("| `slow`"))
    assert "| 500 " in line
    assert "0.60 ± 0.00 (0.70)" in line


@pytest.mark.slow
def test_command_of_the_report_has_what_was_changed():
    given = ["table.seconds=60", "table.curve_images=2000", "jobs=2"]
    plan = Plan.of(compose_run("bench_zoo", given)[0], given)
    line = "table=recipes jobs=2 threads=1 table.seconds=60 table.curve_images=2000\n"
    assert line in markdown.markdown(plan, GROUPS)


DOCUMENT = CONF.parent / "docs" / "results"
WRITTEN = [path for path in sorted(DOCUMENT.glob("*.csv")) if not path.stem.endswith("_curve")]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_committed_tables_are_those_of_their_csv(path: Path):
    text = DOCUMENT.with_suffix(".md").read_text("utf-8")
    name = path.stem
    table = text.split(f"<!-- table {name} -->")[1].split(f"<!-- end of table {name} -->")[0]
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "finished"]
    first = compose_run("bench_zoo", [f"table={name}"])[0].table.rank_by
    for recipe in {row["recipe"] for row in rows}:
        line = next(line for line in table.splitlines() if f"| `{recipe}`" in line)
        found = [float(row[first]) for row in rows if row["recipe"] == recipe]
        assert line.split("|")[3].split(" (")[0].strip() == markdown.mean(found, first)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
@pytest.mark.slow
def test_committed_tables_have_the_recipes_of_their_configs(path: Path):
    plan = plan_of(f"table={path.stem}")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["recipe"], int(row["seed"])) for row in rows} == {
        (job.recipe, job.seed) for job in plan.jobs()
    }
    for row in {row["recipe"]: row for row in rows if row["status"] == "finished"}.values():
        config, _ = compose_run("train", plan.recipes[row["recipe"]])
        generator = assemble.build_module(config).generator
        count = sum(parameter.numel() for parameter in generator.parameters())
        assert count == int(row["weights_generator"])


def test_plots_are_drawn_for_any_number_of_recipes(tmp_path: Path):
    groups = {f"r{i}": [row(f"r{i}", seed, 2.0 + i) for seed in (0, 1)] for i in range(23)}
    plan = plan_of()
    plan.recipes.update({name: [] for name in groups})
    drawn = plots.draw(plan, groups, tmp_path)
    assert [path.name for path in drawn] == ["recipes_fid.png", "recipes_precision_recall.png"]
    assert all(path.stat().st_size > 10_000 for path in drawn)
    styles = {name: plots.style_of(place) for place, name in enumerate(groups)}
    for axes in plots.curve_figure(groups, "fid", styles).axes:
        assert len(axes.lines) == len(groups)
        assert all(np.size(line.get_xdata()) == 3 for line in axes.lines)


def test_document_keeps_what_stands_around_the_table(tmp_path: Path):
    document, plan = tmp_path / "results.md", plan_of()
    document.write_text("before\n<!-- table recipes -->old<!-- end of table recipes -->\nafter\n")
    reporting.Places(plan, document).put("new")
    text = document.read_text()
    assert text == "before\n<!-- table recipes -->\nnew\n<!-- end of table recipes -->\nafter\n"
    document.write_text("# Results\n")
    places = reporting.Places(plan, document)
    places.put("new")
    assert document.read_text().startswith("# Results\n\n## Every recipe")
    places.put("newer")
    assert document.read_text().count("<!-- table recipes -->") == 1
    assert "new\n" not in document.read_text()


@pytest.mark.slow
def test_a_document_without_its_end_mark_is_refused_before_training(
    tmp_path: Path, status_and_message: Callable
):
    document = tmp_path / "results.md"
    document.write_text("<!-- table recipes -->\n")
    given = [f"output={tmp_path / 'out'}", f"document={document}"]
    status, message = status_and_message(call, *given)
    assert status == 2
    assert "<!-- end of table recipes -->" in message
    assert not (tmp_path / "out").exists()


def test_csv_has_every_figure_of_every_run():
    rows = [row for group in GROUPS.values() for row in group]
    found = list(csv.DictReader(reporting.to_csv(reporting.run_rows(rows)).splitlines()))
    assert len(found) == 9
    assert float(found[0]["fid"]) == 9.0
    assert float(found[0]["fid_floor"]) == 0.2
    points = list(csv.DictReader(reporting.to_csv(reporting.curve_rows(rows)).splitlines()))
    assert len(points) == 27


@pytest.mark.slow
def test_snapshots_can_be_drawn_from_and_know_when_they_were_taken(tmp_path: Path):
    given = ["callbacks=[default,snapshots]", "callbacks.snapshots.shares=[0.5]"]
    folder = tmp_path / "run"
    assert run_train(folder, *given, "callbacks.snapshots.images=[17]") == 0
    taken = {path.stem: path for path in (folder / "snapshots").iterdir()}
    assert set(taken) == {"share_0.5", "images_17"}
    seen = {name: checkpoint.load(path)["progress"]["images_seen"] for name, path in taken.items()}
    assert seen == {"share_0.5": 128, "images_17": 32}  # of 256, in batches of 16
    for path in taken.values():
        output = tmp_path / f"{path.stem}.npz"
        assert run_generate(f"checkpoint={path}", f"output={output}", "num_images=2") == 0


@pytest.mark.parametrize("given", ["shares=[1.0]", "shares=[0]", "images=[0]"])
def test_snapshots_refuse_moments_that_are_none(
    given: str, tmp_path: Path, status_and_message: Callable
):
    asked = ["callbacks=[default,snapshots]", f"callbacks.snapshots.{given}"]
    status, message = status_and_message(run_train, tmp_path / "run", *asked)
    assert status == 2
    assert "callbacks.snapshots" in message


def test_curve_of_points_counts_modes():
    module = assemble.build_data(compose_run("train", ["experiment=ring_gan"])[0])
    module.prepare_data()
    module.setup("fit")

    class Real(torch.nn.Module):
        num_classes, latent_dim = 0, 2

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, latents: torch.Tensor, labels: None = None) -> torch.Tensor:
            return module.images("train")[0][: len(latents)].float()

    values = Curve(module, 500)(Real())
    assert values["modes"] == 8
    assert values["chosen_by"] < 0.1


@pytest.mark.slow
def test_whole_table_of_points_and_what_a_second_call_does(
    points: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
):
    assert call(*points, "jobs=2", "threads=1") == 0
    runs = tmp_path / "runs" / "points"
    figures = {
        path.parent.name: json.loads(path.read_text()) for path in runs.glob(f"*/{MEASURED}")
    }
    assert set(figures) == {"ring-0", "ring-1", "grid-0", "grid-1"}
    assert [p["at"] for p in figures["ring-0"]["curve"]] == ["images_100", "share_0.5", "last"]
    assert {"modes", "mode_kl"} <= figures["ring-0"]["metrics"].keys()
    text = (runs / "report.md").read_text()
    assert text.count("`ring`") >= 1
    assert (runs / "points.csv").read_text().count("\n") == 5
    assert (runs / "points_mode_kl.png").exists()
    for run in figures:
        for shown in (f"points_{run}_evolution.png", f"points_{run}_health.png"):
            assert f"]({shown})" in text
            assert (runs / shown).exists()

    stamp = (runs / "ring-0" / "result.json").stat().st_mtime_ns
    (runs / "grid-1" / MEASURED).unlink()  # as if interrupted before it was measured
    capsys.readouterr()
    assert call(*points, "jobs=2", "threads=1") == 0
    out = capsys.readouterr().out
    assert "3 runs finished, 1 to go" in out
    assert (runs / "ring-0" / "result.json").stat().st_mtime_ns == stamp
    assert (runs / "grid-1" / MEASURED).exists()

    assert call(*points, "table.overrides=['trainer.max_epochs=2']") == 2
    assert "holds a run of other settings" in capsys.readouterr().err
    (runs / "grid-1" / MEASURED).unlink()
    assert call(*points, "jobs=1", "threads=2") == 2
    assert "was trained with jobs=2 threads=1" in capsys.readouterr().err


def test_a_kept_run_of_a_recipe_that_changed_is_refused(tmp_path: Path):
    job = Job("dcgan", 0, tmp_path, ["experiment=dcgan_mnist", "seed=0"])
    config, _ = compose_run("train", job.overrides)
    OmegaConf.save({"command": [*job.overrides, "hydra.run.dir=x"]}, tmp_path / "overrides.yaml")
    config.optimizer.generator.fused, config.data.resident_limit = True, 7  # no part of a recipe
    del config.schedule.warmup  # as in a run made before there was one
    OmegaConf.save(config, tmp_path / "config.yaml")
    records.require_same(job)
    config.penalty.r1.gamma = 7.0
    OmegaConf.save(config, tmp_path / "config.yaml")
    with pytest.raises(UserError, match=r"penalty\.r1\.gamma: 7\.0, now 0\.2"):
        records.require_same(job)


def test_what_another_protocol_measured_is_measured_again(tmp_path: Path):
    plan = plan_of()
    found = {"how": plan.measured_by(), "card": {"protocol": PROTOCOL}}
    (tmp_path / MEASURED).write_text(json.dumps(found))
    assert read_measured(tmp_path, plan) == found
    found["card"]["protocol"] = PROTOCOL - 1
    (tmp_path / MEASURED).write_text(json.dumps(found))
    assert read_measured(tmp_path, plan) is None


def test_moments_of_a_strip_are_those_of_its_rows(tmp_path: Path):
    (tmp_path / "samples").mkdir()
    for count in range(0, 3000, 100):
        (tmp_path / "samples" / f"images_{count:09d}.png").touch()
    moments = evolution_moments(tmp_path)
    assert len(moments) == 12
    assert (moments[0], moments[-1]) == (0, 2900)
    assert moments == sorted(moments)


@pytest.mark.slow
def test_a_table_names_the_runs_that_it_lacks_and_how_the_others_were_placed():
    plan = plan_of("table=recipes", "table.seeds=[0,1]")
    plan = plan.only(OmegaConf.create(["dcgan_mnist", "mlp_mnist"]))
    groups = {"dcgan_mnist": [row("dcgan_mnist", 0, 1.0), row("dcgan_mnist", 1, 2.0)]}
    groups["dcgan_mnist"][0]["placement"] = {"at_once": 1, "threads": 2}
    text = markdown.markdown(plan, groups)
    assert "Without a result: mlp_mnist-0, mlp_mnist-1." in text
    assert "placed differently (jobs=1 threads=2, jobs=2 threads=1)" in text


@pytest.mark.slow
def test_a_killed_table_goes_on_where_it_was(points: list[str], tmp_path: Path):
    """SIGTERM ends the training in good order; the same command finishes it."""
    more = [
        "table.seeds=[0]",
        "only=[ring]",
        "table.overrides=['trainer.max_epochs=60','trainer.limit_train_batches=4']",
    ]
    command = [sys.executable, "-m", "gan_lab.bench_zoo", *points, *more, "threads=1"]
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    folder = tmp_path / "runs" / "points" / "ring-0"
    deadline = time.monotonic() + 240
    while not (folder / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["images_seen"] == 60 * 4 * 256  # epochs, batches, points
    curve = json.loads((folder / MEASURED).read_text())["curve"]
    assert {"images_100", "share_0.5", "last"} == {point["at"] for point in curve}


@pytest.mark.parametrize(
    ("cores", "gpus", "jobs", "threads", "expected"),
    [
        (2, 0, None, None, (1, 2)),
        (16, 0, None, None, (4, 4)),
        (16, 0, 3, None, (3, 5)),
        (2, 0, 4, 2, (4, 2)),
        (16, 2, None, None, (2, 8)),
    ],
)
def test_cores_and_gpus_are_divided_among_the_runs(
    cores: int,
    gpus: int,
    jobs: int | None,
    threads: int | None,
    expected: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(running.shares, "count_cores", lambda: cores)
    monkeypatch.setattr(running.shares, "list_gpus", lambda: tuple(map(str, range(gpus))))
    assert running.divide(jobs, threads) == expected
