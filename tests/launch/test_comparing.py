"""Runs side by side: what is one row, who is first, what is not ranked, and what is refused."""

import html
import json
import math
import os
import shlex
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from gan_lab import UserError
from gan_lab.compare import compare
from gan_lab.launch.assemble import build_module
from gan_lab.launch.comparing import gathering, leaderboard, words, writing
from gan_lab.launch.comparing.contrast import contrast
from gan_lab.launch.comparing.page import page
from gan_lab.launch.comparing.parameters import count_parameters
from gan_lab.launch.comparing.records import find_runs, read_run
from gan_lab.launch.comparing.report import Report, report_of
from gan_lab.launch.comparing.rows import brief
from gan_lab.launch.entry import compose_run, guarded
from gan_lab.metrics.card import Card
from tests.conftest import tiny, tiny_config
from tests.launch.made_runs import RATES, make_grid, make_run, trial, write_study

LR = RATES[0]


def reported(*places: Path, by: str = "best") -> Report:
    return report_of(gathering.gather(places), by)


@pytest.mark.slow
def test_runs_that_differ_in_the_seed_alone_are_one_row(tmp_path: Path) -> None:
    for seed, fid in enumerate((10.0, 12.0, 17.0)):
        make_run(tmp_path / f"a{seed}", (30, fid, fid + 1), seed, changes={"name": f"x{seed}"})
    make_run(tmp_path / "b", (30, 11, 11), changes={LR: 5e-4})
    (group,) = reported(tmp_path).groups
    first, second = group.rows
    assert (first.label, second.label) == ("generator.lr=5e-4", "generator.lr=2e-3")
    assert (first.place, second.place) == (1, 2)
    assert second.best == (3, 13.0, pytest.approx(math.sqrt(13)))
    assert second.last is not None
    assert second.last.mean == 14
    assert first.best == (1, 11.0, None)
    assert list(first.varied) == [LR]


def test_last_ranks_by_the_end_of_the_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "a", (1, 9), changes={LR: 1e-4})
    make_run(tmp_path / "b", (5, 5), changes={LR: 2e-4})
    labels = {
        by: [row.label for row in reported(tmp_path, by=by).groups[0].rows]
        for by in ("best", "last")
    }
    assert labels["best"] == ["generator.lr=1e-4", "generator.lr=2e-4"]
    assert labels["last"] == labels["best"][::-1]


def test_a_metric_of_which_more_is_better(tmp_path: Path) -> None:
    keys = {"callbacks.evaluation.monitor": "coverage"}
    make_run(tmp_path / "a", (0.2, 0.1), changes={**keys, LR: 1e-4}, metric="coverage")
    make_run(tmp_path / "b", (0.5, 0.9), changes={**keys, LR: 2e-4}, metric="coverage")
    (group,) = reported(tmp_path).groups
    assert [row.label for row in group.rows] == ["generator.lr=2e-4", "generator.lr=1e-4"]
    assert [row.best.mean for row in group.rows if row.best] == [0.9, 0.2]


def test_where_modes_are_known_they_decide(tmp_path: Path) -> None:
    make_run(tmp_path / "a", (3.0, 0.5), metric="mode_misses")
    (group,) = reported(tmp_path).groups
    assert (group.metric, group.lower) == ("mode_misses", True)
    assert group.rows[0].best == (1, 0.5, None)


def test_the_same_run_or_the_same_seed_twice_is_no_repetition(tmp_path: Path) -> None:
    make_run(tmp_path / "a", (10.0,), 0)
    make_run(tmp_path / "b", (12.0,), 0)
    report = reported(tmp_path, tmp_path / "a", tmp_path / "a" / ".." / "a")
    (row,) = report.groups[0].rows
    assert len(row.records) == 2
    assert row.best == (1, 10.0, None)


DIFFERENCES = [
    ("callbacks.evaluation.num_images", 100, 200, "num_fake"),
    ("data.holdout", 32, 16, "num_real"),
    ("data.classes", None, [0, 1], "classes"),
    ("data.image_shape", [1, 28, 28], [1, 32, 32], "image_shape"),
    ("data.source.num_images", 160, 320, "source"),
    ("data.source._target_", "gan_lab.data.synthetic.Fake", "gan_lab.data.mnist.MNIST", "data"),
]


@pytest.mark.parametrize(("key", "one", "other", "field"), DIFFERENCES)
def test_runs_that_were_measured_differently_are_not_ranked(
    tmp_path: Path, key: str, one: object, other: object, field: str
) -> None:
    make_run(tmp_path / "a", (5.0,), changes={key: one})
    make_run(tmp_path / "b", (4.0,), changes={key: other})
    report = reported(tmp_path)
    assert [[row.place for row in group.rows] for group in report.groups] == [[1], [1]]
    assert report.refusal is not None
    told = report.refusal.partition(f"{field}: ")[2].partition(";")[0]
    assert told.count("(1 run)") == 2
    for value in (one, other):
        text = value if isinstance(value, str) else json.dumps(value)
        assert text.rpartition(".")[2] in told
    assert report.refusal in words.text(report)


def test_another_metric_is_another_measurement(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", (0.5,), metric="kid", changes={"callbacks.evaluation.monitor": "kid"})
    refusal = reported(tmp_path).refusal
    assert refusal is not None
    assert "metric: fid (1 run) / kid (1 run)" in refusal


@pytest.mark.parametrize("key", [LR, "data.subset", "data.batch_size", "data.root", "n_critic"])
def test_what_is_trained_with_is_no_difference_of_measurement(tmp_path: Path, key: str) -> None:
    values = {"data.root": "/elsewhere", "data.subset": 0.5, LR: 1.0}
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", changes={key: values.get(key, 3)})
    report = reported(tmp_path)
    assert report.refusal is None
    assert len(report.groups[0].rows) == (1 if key == "data.root" else 2)


def test_places_on_disk_are_not_what_the_data_are(tmp_path: Path) -> None:
    for root in ("/one", "/two"):
        keys = {"data.root": root, "data.source.folder": f"{root}/pictures"}
        make_run(tmp_path / root[1:], changes={**keys, "data.source.cache": f"{root}/mapped"})
    assert reported(tmp_path).refusal is None


def sign(folder: Path, process: int, host: str) -> None:
    (folder / ".lock").write_text(f"process {process} on {host} since 2026-01-01 00:00:00\n")


def gone() -> int:
    """A process that is not there any more."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_the_state_of_a_run_and_why(tmp_path: Path) -> None:
    here = socket.gethostname()
    make_run(tmp_path / "running", status=None)
    sign(tmp_path / "running", os.getpid(), here)
    make_run(tmp_path / "killed", status=None)
    sign(tmp_path / "killed", gone(), here)
    make_run(tmp_path / "elsewhere", status=None)
    sign(tmp_path / "elsewhere", 1, "another-host")
    make_run(tmp_path / "unsigned", status=None)
    make_run(tmp_path / "interrupted", status="interrupted")
    make_run(tmp_path / "failed", status="failed")
    make_run(tmp_path / "diverged", (30.0, math.nan), status="diverged")
    make_run(tmp_path / "finished")
    found = {folder.name: read_run(folder) for folder in find_runs(tmp_path)}
    states = {name: record.status for name, record in found.items()}
    assert states == {
        **{name: name for name in ("running", "killed", "interrupted", "failed", "diverged")},
        **{"finished": "finished", "elsewhere": "running", "unsigned": "killed"},
    }
    assert "another-host" in found["elsewhere"].why
    assert f"resume={tmp_path / 'killed'}" in found["killed"].why
    assert "val/fid not finite" in found["diverged"].why
    assert found["finished"].why == ""
    assert found["diverged"].best == 30
    assert found["diverged"].last is None
    (tmp_path / "killed" / ".lock").unlink()
    assert not (tmp_path / "unsigned" / ".lock").exists()  # nobody's lock is touched


def test_only_finished_runs_are_ranked_and_losses_come_last(tmp_path: Path) -> None:
    make_run(tmp_path / "a", (1.0,), status=None, changes={LR: 1e-4})
    make_run(tmp_path / "b0", (2.0,), 0, changes={LR: 2e-4})
    make_run(tmp_path / "b1", (2.0,), 1, status="diverged", changes={LR: 2e-4})
    make_run(tmp_path / "c", (3.0,), changes={LR: 3e-4})
    (group,) = reported(tmp_path).groups
    assert [(row.label[-4:], row.place) for row in group.rows] == [
        ("3e-4", 1),
        ("2e-4", 2),
        ("1e-4", None),
    ]
    report = reported(tmp_path)
    assert {status for _, status, _ in words.unfinished(report)} == {"killed", "diverged"}
    shown = leaderboard.text(group, report)
    assert "(1.00)" in shown  # so far
    assert "1 of 2" in shown
    assert group.winner is group.rows[0]


def test_damage_is_told_and_nothing_falls(tmp_path: Path) -> None:
    make_run(tmp_path / "sound", (7.0,))
    make_run(tmp_path / "result", (8.0,), changes={LR: 1e-4})
    (tmp_path / "result" / "result.json").write_text("[1, 2]")
    make_run(tmp_path / "bytes", changes={LR: 2e-4})
    (tmp_path / "bytes" / "metrics.csv").write_bytes(b"images_seen,val/fid\n\xff\xfe,1\n")
    make_run(tmp_path / "words", changes={LR: 3e-4})
    (tmp_path / "words" / "metrics.csv").write_text("images_seen,val/fid\n1,many\n")
    make_run(tmp_path / "cut", (9.0, 8.5), changes={LR: 4e-4})
    path = tmp_path / "cut" / "metrics.csv"
    path.write_text(path.read_text() + "3000,0,,,1.")
    make_run(tmp_path / "none", changes={LR: 5e-4})
    (tmp_path / "none" / "metrics.csv").unlink()
    make_run(tmp_path / "config")
    (tmp_path / "config" / "config.yaml").write_text("a: [")
    report = reported(tmp_path)
    text = words.text(report)
    (group,) = report.groups
    values = {row.label: row.best and row.best.mean for row in group.rows}
    assert values["generator.lr=4e-4"] == 8.5
    assert values["generator.lr=3e-4"] is None
    assert text.count("metrics.csv cannot be read") == 2
    assert f"{tmp_path / 'config'}: unreadable" in text
    assert f"{tmp_path / 'none'}: not measured" in text
    assert values["generator.lr=5e-4"] is None


WRONG = {
    "": "runs= is missing or empty",
    "runs=[]": "runs= is missing or empty",
    "runs=HERE/nowhere": "HERE/nowhere does not exist; give run folders",
    "runs=HERE/file": "HERE/file is no folder",
    "runs=[RUN,HERE/empty]": "HERE/empty holds no run that train made",
    "runs=HERE/study": "HERE/study/study.json is no study",
    "runs=HERE/broken": "no run can be read",
    "runs=RUN output=HERE/a.png": "must be named FILE.html",
    "runs=RUN output=HERE/file/a.html": "cannot be written below HERE/file",
    "runs=RUN output=HERE/file.html": "the pictures go into the folder HERE/file beside it",
    "runs=RUN by=worst": "by=worst must be one of best, last",
    "runs=RUN samples=-1": "samples=-1",
}


@pytest.mark.parametrize("given", WRONG)
def test_what_is_wrong_is_refused_and_nothing_written(
    given: str, tmp_path: Path, monkeypatch, status_and_message
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "run")
    here = tmp_path / "here"
    (here / "empty").mkdir(parents=True)
    (here / "file").touch()
    write_study(here / "study", {"trials": [{"values": 3}]})
    make_run(here / "broken" / "run")
    (here / "broken" / "run" / "config.yaml").write_text("- a list")
    before = sorted(tmp_path.rglob("*"))
    overrides = [o.replace("HERE", str(here)).replace("RUN", str(run)) for o in given.split()]
    status, message = status_and_message(guarded, "compare", compare, overrides)
    assert status == 2
    assert WRONG[given] in message.replace(str(here), "HERE")
    assert message.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_one_seed_proves_nothing(tmp_path: Path) -> None:
    make_run(tmp_path / "a", (5.0,))
    report = reported(tmp_path)
    assert "one seed proves nothing" in report.groups[0].contrast["text"]
    make_run(tmp_path / "b", (6.0,), changes={LR: 1e-4})
    text = reported(tmp_path).groups[0].contrast["text"]
    assert text.startswith("One seed proves nothing")
    assert "generator.lr=1e-4" in text


@pytest.mark.parametrize(
    ("other", "says"), [((8.0, 8.1, 7.9), " is ahead of "), ((5.3, 5.0, 5.1), " is not ahead of ")]
)
def test_the_first_is_set_against_the_second(tmp_path: Path, other: tuple, says: str) -> None:
    for seed, (one, two) in enumerate(zip((5.0, 5.2, 4.8), other, strict=True)):
        make_run(tmp_path / f"a{seed}", (one,), seed)
        make_run(tmp_path / f"b{seed}", (two,), seed, changes={LR: 1e-4})
    contrast = reported(tmp_path).groups[0].contrast
    assert says in contrast["text"]
    assert "beyond the spread of seeds" in contrast["text"]
    assert (contrast["p"] < 0.05) == (says == " is ahead of ")


def three_rows(folder: Path, middle: float) -> dict[str, Any]:
    """A sound row of mean 10, one of survivors alone of mean 5, a sound one of mean `middle`."""
    for seed, off in enumerate((0.0, 0.1, -0.1)):
        make_run(folder / f"a{seed}", (10 + off,), seed)
        status = "finished" if seed else "diverged"
        make_run(folder / f"b{seed}", (5 + off,), seed, status, changes={LR: 1e-4})
        make_run(folder / f"c{seed}", (middle + off,), seed, changes={LR: 3e-4})
    return reported(folder).groups[0].contrast


def test_the_first_is_not_set_against_survivors(tmp_path: Path) -> None:
    contrast = three_rows(tmp_path, 12.0)
    assert (contrast["first"][-4:], contrast["second"][-4:]) == ("2e-3", "3e-4")
    assert contrast["difference"] == pytest.approx(-2)
    assert " is ahead of " in contrast["text"]
    assert contrast["text"].endswith("Left out: 1 row that lost a seed.")


def test_where_all_others_lost_a_seed_nobody_is_ahead(tmp_path: Path) -> None:
    for seed, off in enumerate((0.0, 0.1, -0.1)):
        make_run(tmp_path / f"a{seed}", (10 + off,), seed)
        status = "finished" if seed else "failed"
        make_run(tmp_path / f"b{seed}", (5 + off,), seed, status, changes={LR: 1e-4})
    contrast = reported(tmp_path).groups[0].contrast
    assert "ahead" not in contrast["text"]
    assert "Every row but generator.lr=2e-3 lost a seed" in contrast["text"]
    assert "better mean in generator.lr=1e-4" in contrast["text"]
    assert "p" not in contrast


def test_rows_that_all_lost_a_seed_are_set_against_each_other(tmp_path: Path) -> None:
    for seed, off in enumerate((0.0, 0.1, -0.1)):
        status = "finished" if seed else "diverged"
        for name, fid, rate in (("a", 9, 1e-4), ("b", 5, 3e-4)):
            make_run(tmp_path / f"{name}{seed}", (fid + off,), seed, status, {LR: rate})
    contrast = reported(tmp_path).groups[0].contrast
    assert "generator.lr=3e-4 is ahead of generator.lr=1e-4" in contrast["text"]


@pytest.mark.parametrize(("lower", "says"), [(True, " is behind "), (False, " is ahead of ")])
def test_ahead_is_who_has_the_better_mean(lower: bool, says: str, tmp_path: Path) -> None:
    for seed, off in enumerate((0.0, 0.1, -0.1)):
        make_run(tmp_path / f"a{seed}", (5 + off,), seed)
        make_run(tmp_path / f"b{seed}", (9 + off,), seed, changes={LR: 1e-4})
    worse_first = reported(tmp_path).groups[0].rows[::-1]
    assert says in contrast(worse_first, "best", lower)["text"]


def test_the_command_repeats_the_best_run(tmp_path: Path) -> None:
    """It composes to the very config of that run."""
    overrides = tiny("optimizer.generator.lr=5e-4", "name=it_s-best", "seed=4")
    config, _ = compose_run("train", overrides)
    plain = OmegaConf.to_container(config, resolve=True)
    make_run(tmp_path / "a", (9.0,))
    folder = make_run(tmp_path / "b", (3.0,), seed=4, command=[*overrides[:-1], "hydra.run.dir=x"])
    OmegaConf.save(OmegaConf.create(plain), folder / "config.yaml")
    row = reported(tmp_path).groups[0].rows[0]
    again, more = (shlex.split(line) for line in words.repeat(row))
    assert again[:3] == more[:3] == ["python", "-m", "gan_lab.train"]
    found, _ = compose_run("train", again[3:])
    assert OmegaConf.to_container(found, resolve=True) == plain
    assert more[3] == "-m"
    assert more[-1] == "seed=5,6,7"


def test_a_grid_of_rates_is_named_and_weighed(tmp_path: Path) -> None:
    make_grid(tmp_path / "sweep", (1e-4, 1e-3, 1e-2), (1e-4, 1e-3, 1e-2))
    (group,) = reported(tmp_path / "sweep").groups
    assert group.rows[0].label == "generator.lr=1e-3, discriminator.lr=1e-3"
    assert list(group.rows[0].varied) == list(RATES)
    assert group.importance is not None
    assert [share.key for share in group.importance.shares] == list(RATES)
    assert "full grid" in group.importance.method


def test_settings_that_go_together_are_one(tmp_path: Path) -> None:
    for place, rate in enumerate((1e-4, 1e-3)):
        make_run(tmp_path / str(place), changes=dict.fromkeys(RATES, rate))
    rows = reported(tmp_path).groups[0].rows
    assert [list(row.varied) for row in rows] == [[LR], [LR]]
    assert rows[0].also == {LR: [RATES[1]]}


def test_rows_that_differ_in_much_are_named_by_their_command(tmp_path: Path) -> None:
    many = {f"objective.key{number}": number for number in range(9)}
    make_run(tmp_path / "a", command=["data=fake", "objective=hinge"], changes=many)
    make_run(tmp_path / "b", command=["data=fake", "objective=wasserstein"])
    labels = {row.label for row in reported(tmp_path).groups[0].rows}
    assert labels == {"objective=hinge", "objective=wasserstein"}


def test_seconds_of_a_measurement_follow_from_the_rows_around_it(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", every=500, rate=50.0)
    curve = read_run(folder).curve("val/fid")
    assert curve.images.tolist() == [500, 1000, 1500]
    assert curve.seconds.tolist() == [10, 20, 30]
    assert curve.values.tolist() == [30, 20, 10]


def test_the_doctor_is_asked_about_every_run(tmp_path: Path) -> None:
    make_run(tmp_path / "a", probes=4, changes={LR: 1e-4})
    make_run(tmp_path / "b")
    make_run(tmp_path / "c", (4.0, math.inf), status="diverged", changes={LR: 1.0})
    report = reported(tmp_path)
    found = {folder.name: d.verdict.value for folder, d in report.diagnoses.items()}
    assert found == {"a": "mode collapse", "c": "divergence"}
    assert [record.folder.name for record, _ in words.ills(report)] == ["a", "c"]
    assert "not watched" in leaderboard.text(report.groups[0], report)


def test_parameters_are_those_of_the_networks() -> None:
    config = tiny_config()
    module = build_module(config)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    networks = {"generator": module.generator, "discriminator": module.discriminator}
    expected = {name: sum(w.numel() for w in net.parameters()) for name, net in networks.items()}
    assert count_parameters(plain) == expected
    plain["networks"]["generator"]["_target_"] = "os.system"
    assert count_parameters(plain) is None
    assert count_parameters({}) is None


def study_of(folder: Path) -> Path:
    """Three trials, the first of which was lucky; its repetitions, and one that was pruned."""
    for name, fid, rate, seed, status in (
        ("trials/0", 2.0, 1e-3, 0, "finished"),
        ("trials/1", 4.0, 2e-3, 0, "finished"),
        ("trials/2", 9.0, 3e-3, 0, "interrupted"),
        ("finalists/1", 5.0, 1e-3, 1, "finished"),
        ("finalists/2", 7.0, 1e-3, 2, "finished"),
    ):
        make_run(folder / name, (20.0, fid), seed, status, {LR: rate}, command=[f"{LR}={rate}"])
    trials = [trial(0, [2.0], "trials/0"), trial(1, [4.0], str(folder / "trials/1"))]
    trials.append(trial(2, [], "trials/2", state="pruned", reason="hopeless"))
    trials.append(trial(3, [], None, state="failed", reason="out of memory"))
    finalist = {"params": {LR: 1e-3}, "values": [5.0, 7.0], "mean": 6.0, "std": 1.4}
    finalist["folders"] = ["finalists/1", "finalists/2"]
    told = {"name": "rates", "storage": "s", "directions": ["minimize"], "metrics": ["fid"]}
    commands = {"search": "sweep x", "command": "train x"}
    return write_study(folder, {**told, **commands, "trials": trials, "finalists": [finalist]})


def test_a_study_counts_repetitions_and_not_the_trial_that_was_chosen(tmp_path: Path) -> None:
    report = reported(study_of(tmp_path / "study"))
    (group,) = report.groups
    rows = {row.label: row for row in group.rows}
    repeated = rows["generator.lr=1e-3"]
    assert repeated.best == (2, 6.0, pytest.approx(math.sqrt(2)))
    assert len(repeated.records) == 3
    assert group.winner is repeated
    assert repeated.place == 2
    assert "once" in words.headline(group, report)
    assert rows["generator.lr=3e-3"].place is None
    gone = {(status, why) for _, status, why in words.unfinished(report)}
    assert gone == {("pruned", "hopeless"), ("failed", "out of memory")}


def test_a_study_below_a_folder_is_a_study(tmp_path: Path) -> None:
    study = study_of(tmp_path / "runs" / "deep" / "study")
    for seed, fid in enumerate((8.0, 9.0)):
        make_run(tmp_path / "runs" / f"{seed}", (fid,), seed, changes={LR: 9e-3})
    (study / "trials" / "4").mkdir()
    (study / "trials" / "4" / "train.log").write_text("error: the study tells of it\n")
    report = reported(tmp_path / "runs", study, study / "trials" / "2")
    rows = {row.label: row for row in report.groups[0].rows}
    assert rows["generator.lr=1e-3"].best == (2, 6.0, pytest.approx(math.sqrt(2)))
    assert rows["generator.lr=9e-3"].best == (2, 8.5, pytest.approx(math.sqrt(0.5)))
    assert [record.status for record in rows["generator.lr=3e-3"].records] == ["pruned"]
    assert [known.name for known in report.studies] == ["rates"]
    gone = [(status, why) for _, status, why in words.unfinished(report)]
    assert sorted(gone) == [("failed", "out of memory"), ("pruned", "hopeless")]


def test_a_run_that_is_named_before_its_study_is_that_of_the_study(tmp_path: Path) -> None:
    study = study_of(tmp_path / "study")
    (group,) = reported(study / "trials" / "2", study).groups
    assert [record.status for record in group.rows[-1].records] == ["pruned"]


def test_an_unreadable_study_below_a_folder_is_told(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "study" / "trial")
    write_study(tmp_path / "study", {"trials": 3})
    report = reported(tmp_path)
    assert [record.folder.name for record in report.records] == ["a"]
    (lost,) = report.lost
    assert (lost.name, lost.status) == (str(tmp_path / "study"), "unreadable")


def test_a_better_row_that_was_repeated_elsewhere_is_the_best(tmp_path: Path) -> None:
    for seed, fid in enumerate((3.0, 3.5)):
        make_run(tmp_path / f"{seed}", (fid,), seed, changes={LR: 9e-3})
    study = study_of(tmp_path / "study")
    (group,) = reported(study, tmp_path / "0", tmp_path / "1").groups
    assert group.winner is group.rows[0]
    assert group.winner.label == "generator.lr=9e-3"


def test_what_diverged_in_a_study_is_not_called_pruned(tmp_path: Path) -> None:
    make_run(tmp_path / "a", (math.nan,), status="diverged")
    trials = [trial(0, [], "a", state="pruned", reason="not a number")]
    (record,) = reported(write_study(tmp_path, {"trials": trials})).records
    assert (record.status, "not finite" in record.why) == ("diverged", True)


def test_a_job_that_never_became_a_run_is_told(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "train.log").write_text("starting\nerror: data.batch_size=0 is none\n")
    folder = make_run(tmp_path / "c", status="failed", changes={LR: 1e-4})
    (folder / "train.log").write_text("error: the disk is full\n")
    told = {
        (Path(name).name, status, why) for name, status, why in words.unfinished(reported(tmp_path))
    }
    assert told == {
        ("b", "failed", "data.batch_size=0 is none"),
        ("c", "failed", "the disk is full"),
    }


def test_a_study_lies_where_it_is_moved_to(tmp_path: Path) -> None:
    study_of(tmp_path / "study")
    content = json.loads((tmp_path / "study" / "study.json").read_text())
    content["trials"][1]["folder"] = "trials/1"
    write_study(tmp_path / "study", content)
    shutil.move(tmp_path / "study", tmp_path / "elsewhere")
    assert len(reported(tmp_path / "elsewhere").records) == 5


def test_trials_on_other_machines_are_said_to_be_missing(tmp_path: Path) -> None:
    """Each machine has the study.json of all, and the runs of its own."""
    study = study_of(tmp_path / "study")
    content = json.loads((study / "study.json").read_text())
    content["trials"].append(trial(4, [1.5], "trials/4", params={LR: 7e-3}))
    content["best"] = {**content["trials"][4], "params": {LR: 7e-3}}
    write_study(study, content)
    report = reported(study)
    told = {name: (status, why) for name, status, why in words.unfinished(report)}
    status, why = told["rates, trial 4"]
    assert status == "elsewhere"
    assert why.endswith("the study knows its values: 1.5")
    assert told["rates, trial 3"] == ("failed", "out of memory")
    (warning,) = words.elsewhere(report)
    assert warning.startswith("1 of 5 trials of rates lie on other machines")
    assert warning.endswith(f"the study's own best is {LR}=7e-3: fid 1.50.")
    assert warning in words.text(report)
    assert warning in html.unescape(page("x", report, [[]], [[]], [[]]))


def test_a_study_whose_runs_are_all_here_warns_of_nothing(tmp_path: Path) -> None:
    assert words.elsewhere(reported(study_of(tmp_path))) == []


def test_a_finalist_without_its_folder_is_told(tmp_path: Path) -> None:
    study = study_of(tmp_path / "study")
    shutil.rmtree(study / "finalists" / "2")
    lost = reported(study).lost
    assert any("finalists/2" in name and status == "missing" for name, status, _ in lost)


def evaluation(fid: float, **card: object) -> str:
    fields = dict.fromkeys(("data", "split", "extractor"), "x")
    numbers = dict.fromkeys(("num_real", "num_train", "num_fake"), 10)
    hashes = {"real_sha256": "a" * 64, "train_sha256": "b" * 64, "image_shape": [1, 28, 28]}
    whole = Card(**{**fields, **numbers, **hashes, **card})  # type: ignore[arg-type]
    return json.dumps({"metrics": {"fid": {"value": fid}}, "card": vars(whole)})


def test_evaluations_in_run_folders_are_compared_by_their_cards(tmp_path: Path) -> None:
    for seed, fid in enumerate((1.0, 3.0)):
        folder = make_run(tmp_path / f"a{seed}", seed=seed)
        (folder / "evaluation.json").write_text(evaluation(fid, seed=seed))
    (found,) = reported(tmp_path).evaluations
    assert next(iter(found.rows.values()))["fid"] == (2, 2.0, pytest.approx(math.sqrt(2)))
    folder = make_run(tmp_path / "b", changes={LR: 1e-4})
    (folder / "test.json").write_text(evaluation(1.0, num_fake=99))
    assert len(reported(tmp_path).evaluations) == 2


def test_pictures_of_an_earlier_comparison_go_and_no_others(tmp_path: Path) -> None:
    for name in "ab":
        make_run(tmp_path / "runs" / name, (5.0,), changes={"objective.note": name})
    output, folder = tmp_path / "page.html", tmp_path / "page"
    writing.write(output, reported(tmp_path / "runs"), "two", 12)
    assert {path.name for path in folder.iterdir()} == {"samples_01.png", "samples_02.png"}
    (folder / "mine.png").touch()
    writing.write(output, reported(tmp_path / "runs" / "a"), "one", 12)
    assert {path.name for path in folder.iterdir()} == {"samples_01.png", "mine.png"}
    assert json.loads(output.with_suffix(".json").read_text())["pictures"] == ["samples_01.png"]


@pytest.mark.parametrize(
    "former", ["[1]", "{}", '{"pictures": 3}', '{"pictures": [3]}', '{"pictures": ["../x.png"]}']
)
def test_nothing_goes_by_a_list_that_is_not_ours(tmp_path: Path, former: str) -> None:
    make_run(tmp_path / "a", (5.0,))
    (tmp_path / "x.png").touch()
    (tmp_path / "page.json").write_text(former)
    writing.write(tmp_path / "page.html", reported(tmp_path / "a"), "x", 0)
    assert (tmp_path / "x.png").exists()


def test_two_evaluations_of_a_run_are_no_repetition(tmp_path: Path) -> None:
    for seed, fid in enumerate((1.0, 3.0)):
        folder = make_run(tmp_path / f"a{seed}", seed=seed)
        (folder / "evaluation.json").write_text(evaluation(fid))
        (folder / "last.json").write_text(evaluation(fid + 10))
    (found,) = reported(tmp_path).evaluations
    shown = {label.rpartition("(")[2]: row["fid"] for label, row in found.rows.items()}
    assert shown == {
        "evaluation.json)": (2, 2.0, pytest.approx(math.sqrt(2))),
        "last.json)": (2, 12.0, pytest.approx(math.sqrt(2))),
    }


def test_evaluations_count_where_their_runs_do(tmp_path: Path) -> None:
    study = study_of(tmp_path / "study")
    for name, fid in (("trials/0", 0.0), ("trials/2", 0.0), ("finalists/1", 5.0)):
        (study / name / "evaluation.json").write_text(evaluation(fid))
    (found,) = reported(study).evaluations
    assert found.rows == {"generator.lr=1e-3": {"fid": (1, 5.0, None)}}


@pytest.mark.slow
def test_a_real_run_is_read(finished_run: Path, tmp_path: Path) -> None:
    record = read_run(finished_run)
    assert record.status == "finished"
    assert record.images == 256
    assert record.seconds is not None
    report = reported(finished_run)
    assert report.records[0].folder == finished_run
    assert "nothing to rank" in words.text(report)


def test_nothing_is_guessed_of_an_unreadable_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no study"):
        reported(write_study(tmp_path, {"trials": 3}))


ODD = [
    "a: 1",
    "seed: [1, 2]\ndata: words",
    "optimizer: {generator: {lr: fast}}\ncallbacks: null",
    "networks: 5\nseed: ${oc.env:HOME}\nname: ???",
    "callbacks: {evaluation: {monitor: [fid]}, health: 3}\nnetworks: {generator: {_target_: os}}",
]


@pytest.mark.parametrize("config", ODD)
def test_a_config_may_hold_anything(config: str, tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    odd = make_run(tmp_path / "b", probes=4)
    (odd / "config.yaml").write_text(config)
    for name in ("result.json", "overrides.yaml"):
        (odd / name).write_text('{"status": 3, "seconds": "long", "command": 5}')
    report = reported(tmp_path)
    assert len(report.records) == 2
    assert str(odd) in words.text(report)


def test_keys_are_as_brief_as_tells_them_apart() -> None:
    keys = ["a.generator.lr", "b.generator.lr", "penalty.r1.gamma", "objective._target_", "seed"]
    assert brief(keys) == {
        "a.generator.lr": "a.generator.lr",
        "b.generator.lr": "b.generator.lr",
        "penalty.r1.gamma": "r1.gamma",
        "objective._target_": "objective",
        "seed": "seed",
    }
