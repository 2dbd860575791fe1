"""What the benchmarks count, keep, bound and call a ratio; whole tasks: tests/test_benchmark.py."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.nn import functional as F

from gan_lab.launch.benchmarking import (
    growth,
    marks,
    points,
    racers,
    results,
    scaling,
    speedrun,
    startup,
    step,
    trials,
)
from gan_lab.launch.benchmarking.costs import Traffic, cost_of, costs
from gan_lab.launch.benchmarking.handloop import HandLoop
from gan_lab.launch.benchmarking.results import Results
from gan_lab.launch.entry import compose_run
from gan_lab.training.callbacks.checkpoints import Checkpoints
from gan_lab.training.callbacks.crowding import Crowding
from gan_lab.training.loop import WholeFitLoop
from tests.conftest import NARROW, TINY, tiny_config

FOREIGN = ("hydra", "omegaconf", "pytorch_lightning", "lightning_fabric", "torchmetrics")
STARTED = f"""
import runpy, sys
import torch
from gan_lab.data import mnist
class Few:
    def __init__(self, root): pass
    def prepare(self): pass
    def load(self, split): return torch.zeros(128, 1, 28, 28, dtype=torch.uint8), None
mnist.MNIST = Few
sys.argv = ["tutorial.py", "1"]
runpy.run_path({str(racers.TUTORIAL)!r}, run_name="__main__")
print("foreign:", sorted(name for name in {FOREIGN} if name in sys.modules))
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in this process: a fresh one takes seconds to import torch."""
    monkeypatch.setattr(results, "apart", lambda function, *arguments: function(*arguments))


@pytest.mark.parametrize(
    ("arguments", "meant"), [([], (100, 0)), (["1"], (1, 0)), (["2000", "2"], (2000, 2))]
)
def test_the_tutorial_loads_in_its_own_process(arguments: list[str], meant: Any) -> None:
    assert racers.tutorial().counts(arguments) == meant


@pytest.mark.slow
def test_the_tutorial_pays_for_no_imports_of_ours() -> None:
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True)
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("first step at "), done.stderr
    assert last == "foreign: []"


def test_a_start_is_compared_with_the_imports_of_its_round() -> None:
    taken = {startup.IMPORTS: [2.0, 4.0, 1.0], "dcgan_mnist": [3.0, 4.0, 2.0]}
    (row,) = (line for line in startup.report(taken).splitlines() if "| dcgan_mnist" in line)
    assert "1.50 (1.00 to 2.00)" in row
    assert "2.00 to 4.00" in row


def given(*overrides: str) -> dict[str, Any]:
    config, _ = compose_run("benchmark", ["task=speedrun", *overrides])
    found: Any = OmegaConf.to_container(config, resolve=True)
    return found["speedrun"]


def test_a_tutorial_that_changes_is_timed_anew(here: None, tmp_path: Path, monkeypatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(speedrun, "plain", lambda experiment, kept: experiment)

    def start(*arguments: Any) -> dict[str, Any]:
        made.append("startup")
        return {"seconds": {}}

    def rates(*arguments: Any) -> dict[str, Any]:
        made.append("rate")
        return {}

    monkeypatch.setattr(startup, "rounds", start)
    monkeypatch.setattr(racers, "rates", rates)
    kept, asked = Results(tmp_path, None, []), given("speedrun.budgets={speedrun_mnist: [1]}")
    for text in ("first", "first", "second"):
        monkeypatch.setattr(racers, "tutorial_hash", lambda text=text: text)
        speedrun.first_steps(asked, kept)
        speedrun.rate(0, 5, kept)
    assert made == ["startup", "rate"] * 2


def test_code_that_changes_is_measured_anew(here: None, tmp_path: Path, monkeypatch) -> None:
    code, folder = tmp_path / "code", tmp_path / "kept"
    (code / "deep").mkdir(parents=True)
    monkeypatch.setattr(results, "SOURCES", {code: "*.py"})
    kept, calls = Results(folder, None, []), []

    def count(overrides: list[str]) -> dict[str, int]:
        calls.append(overrides)
        return {"calls": len(calls)}

    def measured() -> int:
        return int(kept.get("a", {}, count)["calls"])

    assert measured() == measured() == 1
    (code / "deep" / "new.py").write_text("x = 1")
    assert measured() == 2
    (code / "deep" / "new.py").write_text("x = 2")
    assert measured() == 3
    (code / "notes.txt").write_text("of no consequence")
    assert measured() == 3


def test_code_and_settings_are_both_watched() -> None:
    for folder, pattern in results.SOURCES.items():
        assert len(list(folder.rglob(pattern))) > 50


@pytest.mark.slow
def test_a_batch_costs_the_same_out_of_any_training_set() -> None:
    def traffic(images: int) -> float:
        loop = HandLoop(tiny_config(f"data.source.num_images={images}", "data.holdout=32"))
        loop.step()
        return cost_of(loop).bytes

    assert traffic(1600) == traffic(160)


ROWS = torch.tensor([3, 1, 4, 1, 5])
GATHERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "index_select": lambda source: source.index_select(0, ROWS),
    "index": lambda source: source[ROWS],
    "embedding": lambda source: F.embedding(ROWS, source),
}


@pytest.mark.parametrize("name", GATHERS)
def test_a_gather_moves_what_it_picks(name: str) -> None:
    with Traffic() as traffic:
        GATHERS[name](torch.zeros(1000, 8))
    made = 1000 * 8 * 4  # by zeros itself
    assert traffic.bytes - made == 2 * 5 * 8 * 4 + 5 * 8


def test_what_is_changed_in_place_is_written_too() -> None:
    """Lists of tensors change without a result that would tell of it."""
    ours, other = [torch.zeros(100), torch.zeros(50)], [torch.ones(100), torch.ones(50)]
    with Traffic() as alone:
        for one, another in zip(ours, other, strict=True):
            one.lerp_(another, 0.5)
    with Traffic() as together:
        torch._foreach_lerp_(ours, other, 0.5)
    assert together.bytes == alone.bytes == 3 * 150 * 4


def test_adam_in_one_kernel_reads_its_gradients_only() -> None:
    """Weights and both moments are read and written, gradients and the count of steps read."""
    weights = [nn.Parameter(torch.zeros(100)), nn.Parameter(torch.zeros(50))]
    optimizer = torch.optim.Adam(weights, fused=True)
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    with Traffic() as traffic:
        optimizer.step()
    count = 2 * 4  # bytes of both weights' counts, raised by one before
    assert traffic.bytes == 7 * 150 * 4 + count + 2 * count


def test_a_point_that_stands_thrice_counts_once_in_the_model() -> None:
    costs = [
        {"flops": n * 1e9, "bytes": n * 1e6, "state": n, "saved": n**2} for n in (1.0, 2.0, 4.0)
    ]
    taken = zip(costs, (1.0, 1.7, 4.5), strict=True)
    steps = [{"seconds": s, "memory": s, "cost": cost} for cost, s in taken]
    once, thrice = (growth.explain(given, [], 1e12) for given in (steps, [*steps, *2 * steps[:1]]))
    assert once["seconds"] == thrice["seconds"]
    assert once["memory"] == thrice["memory"]
    assert len(thrice["steps"]) == 5


def test_the_first_start_of_each_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def seconds(name: str, overrides: list[str]) -> float:
        asked.append(name)
        return 99.0 if asked.count(name) == 1 else 1.0

    monkeypatch.setattr(startup, "seconds", seconds)
    assert startup.rounds(["a", "b"], 2, []) == {"seconds": {"a": [1.0, 1.0], "b": [1.0, 1.0]}}
    assert asked == ["a", "b"] * 3


def test_a_start_has_the_threads_of_its_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def run(command: list[str], env: dict[str, str], **_: Any) -> Any:
        given.append((command, env["OMP_NUM_THREADS"]))
        return SimpleNamespace(stdout=f"{startup.SAID}1e12", stderr="")

    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(startup, "subprocess", SimpleNamespace(run=run))
    assert startup.seconds("dcgan_mnist", []) > 0
    ((command, threads),) = given
    assert threads == "7"
    assert not [part for part in command if "evaluation" in part]  # which a start has to prepare


def test_a_device_is_waited_for_where_steps_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    clock = trials.Clock(steps=5, warmup=2)
    monkeypatch.setattr(trials, "synchronize", lambda device: waited.append(len(clock.ends)))
    trainer = SimpleNamespace(should_stop=False)
    for _ in range(5):
        assert not trainer.should_stop
        clock.on_train_batch_end(trainer, SimpleNamespace(device=torch.device("cpu")))
    assert trainer.should_stop
    assert waited == [1, 4]  # before the ends of the second and the fifth


@pytest.mark.slow
def test_a_point_of_several_axes_is_measured_once(here: None, tmp_path: Path, monkeypatch) -> None:
    """The recipe's own batch, width and image size are the same training."""
    measured: list[tuple[str, int]] = []

    def step(experiment: str, axis: str, value: int, *_: Any) -> dict[str, Any]:
        measured.append((axis, value))
        size = float(value) if axis == "batch_sizes" else 100.0 + len(measured)
        cost = {"flops": 1e9 * size, "bytes": 1e6 * size**2, "state": size, "saved": 2 * size}
        return {"seconds": 1e-3 * size, "memory": 1e6, "cost": cost}

    count = {"flops": 1e9, "bytes": 1e6, "operators": 9, "weights": 8, "batch_size": 4}
    monkeypatch.setattr(points, "step", step)
    monkeypatch.setattr(points, "large", lambda *_: {"own": count, "large": count})
    monkeypatch.setattr(scaling, "products", lambda *_: {"float32": 1e12})
    asked = {"experiment": "dcgan_mnist", "rounds": 1, "steps": 9, "num_images": []}
    axes = {"batch_sizes": [64, 128], "widths": [16, 32], "image_sizes": [28]}
    kept = Results(tmp_path, None, [])
    found = scaling.measure({**asked, **axes, "processes": []}, kept)["steps"]
    assert measured == [("batch_sizes", 64), ("batch_sizes", 128), ("widths", 16)]
    own = [p for p in found if p["value"] in (128, 32, 28)]
    assert [p["axis"] for p in own] == ["batch", "width", "image size"]
    assert len({p["seconds"] for p in own}) == 1


@pytest.mark.parametrize("kind", ["ranks", "jobs"])
def test_processes_divide_the_cores(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks are one command, two jobs are two, and each process gets half the threads."""
    started: list[tuple[list[str], str]] = []

    class Process:
        returncode = 0

        def __init__(self, command: list[str], env: dict[str, str], **_: Any) -> None:
            started.append((command, env["OMP_NUM_THREADS"]))

        def communicate(self) -> tuple[None, str]:
            return None, ""

    monkeypatch.setattr(points.subprocess, "Popen", Process)
    monkeypatch.setattr(points, "rate_of", lambda folder: 100.0)
    found = points.processes("dcgan_mnist", kind, 2, 8, 4, [])
    assert [threads for _, threads in started] == (["2"] if kind == "ranks" else ["2", "2"])
    assert found["images_per_second"] == 100.0 * len(started)
    for command, _ in started:
        assert "trainer.accelerator=cpu" in command
        assert ("trainer.devices=2" in command) == (kind == "ranks")
    assert len({command[-1] for command, _ in started}) == len(started)  # a folder each


def test_a_rate_is_ours_by_theirs() -> None:
    text = speedrun.rate_text([{"gan_lab": 200.0, "tutorial": 100.0}])
    assert "gan_lab 200, the tutorial-style loop 100; ratio 2.00" in text


def test_each_side_of_the_rate_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which a step of the loop takes 2 s and one of ours half a second."""
    now = [0.0]

    def steps(*_: Any) -> Iterator[int]:
        while True:
            now[0] += 2.0
            yield 64

    module = racers.tutorial()
    module.steps = steps
    monkeypatch.setattr(racers, "tutorial", lambda: module)
    monkeypatch.setattr(racers, "time", SimpleNamespace(monotonic=lambda: now[0]))
    ends = [0.5 * (number + 1) for number in range(racers.WARMUP + 5)]
    data = SimpleNamespace(prepare_data=lambda: None, images=lambda split: (None, None))
    monkeypatch.setattr(racers.assemble, "build_data", lambda config: data)
    monkeypatch.setattr(racers, "fit", lambda *_: trials.Trial(None, None, ends))  # type: ignore[arg-type]
    assert racers.rates(5, 0, []) == {"gan_lab": 128.0, "tutorial": 32.0}


def test_no_rate_is_above_what_products_reach() -> None:
    """Seconds of 4 TFLOP/s where products reach 1: what is missing must be said by no rate."""
    costs = [{"flops": n * 1e9, "bytes": n**2 * 1e6, "state": 1.0, "saved": 1.0} for n in (1, 4, 9)]
    steps = [{"seconds": 1.0 + c["flops"] / 4e12, "memory": 1e6, "cost": c} for c in costs]
    model = growth.explain(steps, [], products=1e12)
    _, per_operation, per_byte = model["seconds"]
    assert per_operation >= 1e-12
    assert per_byte >= 0
    assert all(p["predicted"] == pytest.approx(p["seconds"], rel=0.01) for p in model["steps"])
    assert "1,000 GFLOP/s" in growth.words(model)


def test_what_is_above_the_least_is_fitted() -> None:
    rows = [[1.0, 2.0], [1.0, 5.0], [1.0, 9.0]]
    values = [0.5 + 3 * second for _, second in rows]
    assert growth.fit_above(rows, values, [0, 2]) == pytest.approx([0.5, 3])
    assert growth.fit_above(rows, values, [0, 4])[1] == 4


def test_the_tutorials_generator_is_kept_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))  # one second for each look at it, so for each step
    monkeypatch.setattr(racers, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    generator = nn.Linear(1, 1)

    def steps() -> Iterator[int]:
        for number in range(1, 100):
            nn.init.constant_(generator.weight, number)
            yield 64

    kept = racers.snapshots(steps(), generator, [2, 3, 7])
    assert [point["images"] for point, _ in kept] == [2 * 64, 3 * 64, 7 * 64]
    assert [weights["weight"].item() for _, weights in kept] == [2, 3, 7]
    assert [point["seconds"] for point, _ in kept] == [2, 3, 7]


Fids = Mapping[int, tuple[float, ...]]


def curve(name: str, fids: Fids) -> list[dict[str, Any]]:
    """Runs of one racer: budget -> the FID of each seed."""
    return [
        {"name": name, "seed": seed, "budget": b, "seconds": b, "images": 100 * b, "fid": fid}
        for b, each in fids.items()
        for seed, fid in enumerate(each)
    ]


def cell(ours: Fids, theirs: Fids, **mark: Any) -> str:
    found = marks.curves([*curve("a", ours), *curve("tutorial", theirs)])
    (row,) = marks.marks(found, **(mark or {"fixed": [5.0], "mark_at": []}))
    return marks.reached(row["racers"]["a"], row["racers"]["tutorial"], "a")


LATE = {10: (9.0, 9.0), 60: (4.0, 6.0), 80: (3.0, 4.0)}  # 60 s and 80 s by seed, 60 s by the mean


def test_a_time_to_a_mark_says_how_far_it_is_known() -> None:
    """The loop passes after 10 s at the soonest: of that much no ratio is surer."""
    passes, fails = (4.0, 4.0), (9.0, 9.0)
    said = cell({5: fails, 20: passes}, LATE)
    assert said.startswith("20 s, 2,000 images (3.0 times sooner, at least 0.5; ")
    said = cell({5: passes}, LATE)
    assert said.startswith("≤ 5 s, 500 images (12.0 times sooner, at least 2.0; ")
    nothing_known = cell({5: fails, 20: passes}, {10: passes})
    assert nothing_known == "20 s, 2,000 images"
    assert cell({5: fails}, LATE) == "not reached"


def test_a_ratio_shows_what_each_seed_says() -> None:
    ours = {5: (9.0, 9.0), 20: (4.0, 5.5), 30: (3.0, 4.0)}
    assert cell(ours, LATE).endswith("; 2.7 to 3.0, 2 seeds)")
    never = cell({5: (9.0, 9.0), 20: (4.0, 5.5)}, LATE)
    assert never.endswith("; 3.0 to 3.0, 2 seeds, of which 1 never passed)")
    assert "seeds" not in cell({5: (9.0,), 20: (4.0,)}, LATE)  # one seed shows no spread


def test_a_seed_is_held_against_its_own_loop() -> None:
    """After 80 s the loops have 3 and 4, 3.5 on average, which seed 1's never has."""
    ours = {5: (9.0, 4.0), 10: (3.0, 3.9), 20: (2.0, 2.0)}
    said = cell(ours, LATE, fixed=[], mark_at=[80])
    assert said == "10 s, 1,000 images (8.0 times sooner, at least 6.0; 8.0 to 16.0, 2 seeds)"


@pytest.mark.slow
def test_the_defaults_of_the_race_are_sound() -> None:
    asked = given()
    times = speedrun.check(asked, [])["tutorial"]
    assert {later - earlier for earlier, later in pairwise(times)} == {10}
    assert times[-1] == max(asked["mark_at"])


def test_what_lies_beyond_the_loop_may_be_less_than_nothing() -> None:
    figures = {
        "phases": {"batch": 0.002, "rest": 0.006},
        "ours": [0.010, 0.009, 0.008],
        "hand": [0.011, 0.0085, 0.010],
    }
    lines = step.phase_table(figures).splitlines()
    assert "-1.000 (-2.000 to +0.500, 3 rounds)" in lines[-1]
    assert "25.0%" in lines[2]


@pytest.mark.slow
def test_a_timed_training_has_what_every_training_has(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []

    def build(*arguments: Any, **keywords: Any) -> Any:
        built.append(original(*arguments, **keywords))
        return built[-1]

    original = trials.build_trainer
    monkeypatch.setattr(trials, "build_trainer", build)
    trial = trials.fit(tiny_config("callbacks.evaluation=null", "callbacks.health=null"), steps=2)
    assert len(trial.ends) == 2
    (trainer,) = built
    assert isinstance(trainer.fit_loop, WholeFitLoop)
    assert any(isinstance(callback, Crowding) for callback in trainer.callbacks)
    (checkpoints,) = (c for c in trainer.callbacks if isinstance(c, Checkpoints))
    assert checkpoints.config["data"]["batch_size"] == 16


def test_rounds_become_a_median_with_its_range() -> None:
    rounds = [{"seconds": s, "memory": 5, "cost": {"flops": 1}} for s in (3.0, 1.0, 2.0)]
    found = scaling.merged(rounds)
    assert (found["seconds"], found["seconds_range"]) == (2.0, [1.0, 3.0])
    assert found["cost"] == {"flops": 1}
    assert scaling.spread(found, "seconds", ".1f", 1e3) == "2000.0 (1000.0 to 3000.0)"


@pytest.mark.parametrize(
    ("experiment", "networks"), [("r3gan_mnist", "r3gan"), ("stylegan_mnist", "style")]
)
@pytest.mark.slow
def test_residual_and_style_networks_are_counted(experiment: str, networks: str) -> None:
    small = [o for o in TINY if "max_epochs" not in o]
    config = trials.compose(experiment, *small, *NARROW[networks], *trials.without_end())
    plain, whole = costs(HandLoop(config))
    assert whole.flops > plain.flops > 0
    assert whole.bytes > plain.bytes > 0
