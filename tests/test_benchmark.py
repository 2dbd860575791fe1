"""The benchmarks: their arithmetic, what they keep and refuse, and a step that never waits."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
import torch
from omegaconf import DictConfig
from torch.utils.flop_counter import FlopCounterMode

from gan_lab import RunError, UserError
from gan_lab.benchmark import benchmark
from gan_lab.data.batches import ResidentBatches
from gan_lab.launch import assemble
from gan_lab.launch.benchmarking import (
    growth,
    marks,
    points,
    racers,
    results,
    startup,
    step,
    trials,
)
from gan_lab.launch.benchmarking.costs import Cost, cost_of, costs
from gan_lab.launch.benchmarking.handloop import HandLoop
from gan_lab.launch.benchmarking.results import Results, apart, table
from gan_lab.launch.entry import guarded
from gan_lab.launch.fit import quiet_lightning
from gan_lab.launch.trainer import build_trainer
from gan_lab.training.measures import Diverged
from gan_lab.training.module import GAN
from tests import pairs
from tests.conftest import NARROW, TINY, tiny_config
from tests.pairs import Pair

NOUGHTS = torch.zeros(2, dtype=torch.long)  # labels
SMALL = [*(o for o in TINY if "max_epochs" not in o), *NARROW["dcgan"]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in this process: a fresh one takes seconds to import torch."""
    monkeypatch.setattr(results, "apart", lambda function, *arguments: function(*arguments))


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that needs no feature network: images on which it is 7."""

    def judge(data: Any, split: str, num_images: int) -> Callable[[Any], float]:
        data.prepare_data()
        return lambda generator: (
            7.0 + 0 * generator(torch.zeros(2, generator.latent_dim), NOUGHTS).sum().item()
        )

    monkeypatch.setattr(racers, "Judge", judge)


def run(folder: Path, *overrides: str) -> int:
    arguments = [f"output={folder}", f"overrides={json.dumps(SMALL)}", *overrides]
    return guarded("benchmark", benchmark, arguments)


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())["figures"]


RACE = [
    "task=speedrun",
    "speedrun.seeds=[0,1]",
    "speedrun.budgets={speedrun_mnist: [0.2, 0.4], speedrun_unlabelled_mnist: []}",
    "speedrun.tutorial=[0.1,0.2]",
    "speedrun.mark_at=[0.2]",
    "speedrun.marks=[7,6]",
    "speedrun.num_images=10",
    "speedrun.rate_steps=2",
    "speedrun.startup=0",
]


@pytest.mark.slow
def test_a_race_from_start_to_report(
    here: None, scored: None, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(racers, "WARMUP", 1)
    command = [*RACE, "~speedrun.budgets.dcgan_mnist"]
    assert run(tmp_path, *command) == 0
    figures = report(tmp_path)
    ours = [r for r in figures["runs"] if r["name"] == "speedrun_mnist"]
    assert [(r["seed"], r["budget"]) for r in ours] == [(0, 0.2), (0, 0.4), (1, 0.2), (1, 0.4)]
    assert all(r["seconds"] > 0 and r["images"] > 0 for r in figures["runs"])
    assert len(figures["rates"]) == 2
    first, passed, missed = figures["marks"]
    assert first["mark"] == "tutorial after 0.2 s"
    assert first["racers"]["tutorial"]["budget"] == 0.1  # all score 7, so the first suffices
    assert passed["racers"]["speedrun_mnist"]["budget"] == 0.2
    assert missed["racers"] == {"speedrun_mnist": None, "tutorial": None}
    text = (tmp_path / "report.md").read_text()
    assert "not reached" in text
    assert "≤ 0.2 s" in text  # the smallest budgets say nothing of what less would do
    kept = sorted((tmp_path / "measurements").glob("*.json"))
    assert len(kept) == 2 * (2 + 1 + 1)
    kept[0].unlink()
    capsys.readouterr()
    assert run(tmp_path, *command) == 0
    assert capsys.readouterr().out.count("measuring ") == 1  # what is there is not done again


@pytest.mark.slow
def test_a_recipe_that_changes_is_measured_anew(here: None, scored: None, tmp_path: Path) -> None:
    quick = ["task=speedrun", "speedrun.seeds=[0]", "speedrun.tutorial=[]", "speedrun.mark_at=[]"]
    budgets = "{speedrun_mnist: [0.1], speedrun_unlabelled_mnist: [], dcgan_mnist: []}"
    quick += [f"speedrun.budgets={budgets}", *RACE[5:7], RACE[-1]]
    assert run(tmp_path, *quick) == 0
    more = json.dumps([*SMALL, "optimizer.generator.lr=1e-4"])
    assert run(tmp_path, *quick, f"overrides={more}") == 0
    assert len(list((tmp_path / "measurements").glob("speedrun_mnist-*"))) == 2


def test_the_judge_draws_labels_in_the_shares_of_the_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Threes:
        root = str(tmp_path)

        def prepare_data(self) -> None:
            pass

        def images(self, split: str) -> tuple[None, torch.Tensor]:
            return None, torch.full((50,), 3)

    drawn: list[Any] = []
    for name in ("Reals", "RealSide", "Comparison", "find_weights", "load_extractor"):
        monkeypatch.setattr(trials, name, MagicMock())
    monkeypatch.setattr(trials, "MEASURES", {"fid": lambda these: SimpleNamespace(value=1.0)})
    monkeypatch.setattr(trials, "generate_images", lambda *_, labels: drawn.append(labels))
    judge: Any = trials.Judge(cast(Any, Threes()), "test", 20)
    assert judge(SimpleNamespace(num_classes=10)) == judge(SimpleNamespace(num_classes=0)) == 1.0
    assert drawn[0].tolist() == [3] * 20
    assert drawn[1] is None


def test_a_run_that_diverges_passes_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(config: Any) -> None:
        raise Diverged("no number")

    monkeypatch.setattr(racers, "fit", fit)
    found = racers.race("speedrun_mnist", 1.0, 0, {}, SMALL)
    assert found["fid"] is None
    other = {"name": "a", "seed": 0, "budget": 1.0, "seconds": 1.0, "images": 5, "fid": 2.0}
    curves = marks.curves([other, {"name": "a", "seed": 1, **found}])
    assert curves["a"][0]["fid"] is None
    assert marks.marks(curves, [1000.0], [])[0]["racers"]["a"] is None


def test_a_mark_takes_the_mean_over_seeds() -> None:
    runs = [
        {"name": "a", "seed": seed, "budget": budget, "seconds": budget, "images": 9, "fid": fid}
        for budget, fids in ((5, (4.0, 8.0)), (10, (1.0, 3.0)))
        for seed, fid in enumerate(fids)
    ]
    curve = marks.curves(runs)
    assert [entry["fid"] for entry in curve["a"]] == [6.0, 2.0]
    first, second, never = (row["racers"]["a"] for row in marks.marks(curve, [6.0, 5.0, 1.5], []))
    assert (first["budget"], first["images"], first["before"]) == (5, 9, 0)
    assert (second["budget"], second["before"]) == (10, 5)
    assert second["by_seed"] == {"0": 5, "1": 10}
    assert never is None


def test_the_tutorial_judges_uniform_latents() -> None:
    seen: list[torch.Tensor] = []
    judged = racers.FromNormal(seen.append, 100)  # type: ignore[arg-type]
    judged(torch.randn(4000, 100, generator=torch.Generator().manual_seed(0)))
    (latents,) = seen
    assert latents.abs().max() <= 1
    assert latents.mean().item() == pytest.approx(0, abs=0.01)
    assert latents.var().item() == pytest.approx(1 / 3, abs=0.01)


def test_the_tutorial_is_what_it_says() -> None:
    module = racers.tutorial()
    data = assemble.build_data(tiny_config())
    images = data.images("train")[0]
    generator, discriminator = module.Generator(4), module.Discriminator(4)
    real = torch.stack([module.Digits(images)[i] for i in range(3)])
    torch.testing.assert_close(real, images[:3].float() / 127.5 - 1)
    assert generator(torch.zeros(2, 100)).shape == (2, 1, 28, 28)
    torch.testing.assert_close(
        torch.sigmoid(racers.Logits(discriminator.eval())(real)), discriminator(real)
    )
    before = [p.clone() for n in (generator, discriminator) for p in n.parameters()]
    assert next(module.steps(generator, discriminator, images, batch_size=16)) == 16
    after = [p for n in (generator, discriminator) for p in n.parameters()]
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert sum(moved) > len(moved) / 2


def test_the_tutorial_needs_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(racers, "TUTORIAL", tmp_path / "none.py")
    with pytest.raises(UserError, match=r"speedrun\.tutorial=\[\]"):
        racers.tutorial()


REFUSED = {
    "task=fast": "must be one of speedrun, step, scaling",
    "": "task= is missing",
    "task=step threads=0": "threads=0 must be at least 1",
    "task=step overrides=abc": "overrides='abc' is not a list",
    "task=step output=conf/benchmark.yaml": "cannot be written",
    "task=step step.rounds=0": "step.rounds=0 must be a whole number of at least 1",
    "task=step step.experiments=[none]": "experiment=none is not an option",
    "task=speedrun speedrun.seeds=[]": "give at least one seed",
    "task=speedrun speedrun.split=train": "must be one of test, validation",
    "task=speedrun speedrun.mark_at=[33]": "add it to speedrun.tutorial",
    "task=speedrun speedrun.budgets.speedrun_mnist=[0]": "0.0 must be at least 0.1",
    "task=speedrun speedrun.budgets=7": "must map experiments to seconds",
    "task=scaling scaling.experiment=mlp_mnist": "no `width` to scale",
    "task=scaling scaling.batch_sizes=[1]": "1 must be at least 2",
    "task=scaling scaling.steps=2": "at least 8",
    "task=scaling scaling.rounds=0": "scaling.rounds=0 must be a whole number of at least 1",
    "task=speedrun speedrun.startup=-1": "must be a whole number of at least 0",
}


@pytest.mark.parametrize("command", REFUSED)
def test_what_is_refused(command: str, tmp_path: Path, status_and_message) -> None:
    arguments = [f"output={tmp_path / 'out'}", *command.split()]
    status, message = status_and_message(guarded, "benchmark", benchmark, arguments)
    assert status == 2
    assert REFUSED[command] in message
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_step_from_counts_to_table(here: None, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(step, "WARMUP", 1)
    command = ["task=step", "step.experiments=[dcgan_mnist]", "step.batch_size=16"]
    command += ["step.steps=7", "step.rounds=1", "step.matrix=32", "step.copy_bytes=4096"]
    assert run(tmp_path, *command) == 0
    found = report(tmp_path)["steps"]["dcgan_mnist"]
    assert len(found["ours"]) == len(found["hand"]) == 1
    assert found["ratio"]["median"] == found["ours"][0] / found["hand"][0]
    assert found["share"]["matrix"] > 0
    assert found["cost"]["flops"] > found["plain"]["flops"]
    assert set(found["phases"]) >= {"generator forward", "penalty, its own forward", "averaging"}
    assert step.OWN in (tmp_path / "report.md").read_text()


def test_operations_are_those_of_the_formula() -> None:
    """An MLP: each layer's product costs 2 x inputs x outputs x N, and twice that backwards."""
    config = tiny_config("penalty=none", networks="mlp")
    loop = HandLoop(config)
    batch, hidden, pixels, latent = 16, 16, 28 * 28, config.networks.generator.latent_dim
    forward_g = 2 * batch * (latent * hidden + hidden * pixels)
    first, second = 2 * batch * pixels * hidden, 2 * batch * hidden
    # Backwards, weights and inputs cost a product each; images and latents need no gradient.
    discriminator_step = 2 * ((first + second) + (first + 2 * second))
    through_it = 2 * (first + second)  # its weights rest while the generator learns
    generator = 2 * forward_g + 2 * batch * hidden * pixels
    assert cost_of(loop).flops == discriminator_step + through_it + generator


def test_operations_are_those_of_torch() -> None:
    """Its counter cannot do penalties; without, ours must agree."""
    loop, counter = HandLoop(tiny_config()), FlopCounterMode(display=False)
    loop.step()
    with counter:
        loop.step(due=[])
    assert cost_of(loop).flops == counter.get_total_flops() > 0


def test_the_loop_by_hand_moves_both_players() -> None:
    loop = HandLoop(tiny_config("penalty.r1.interval=2"))
    assert loop.due() == ["r1"]
    before = [p.clone() for p in loop.module.parameters()]
    loop.step()
    assert loop.due() == []
    moved = [not torch.equal(a, b) for a, b in zip(before, loop.module.parameters(), strict=True)]
    assert all(moved)
    assert all(p.requires_grad for p in loop.module.discriminator.parameters())


@pytest.mark.parametrize(
    "override",
    [
        "n_critic=2",
        "clip.generator=1.0",
        "penalty=lecam",
        "penalty=weight_clipping",
        "conditioning=auxiliary_classifier",
        "augment=ada",
        "augment=instance_noise",
        "optimizer=extra_adam",
    ],
)
def test_the_loop_by_hand_refuses_other_steps(override: str) -> None:
    said = "moves both players in every step|has no .* of this kind; measure"
    with pytest.raises(UserError, match=said):
        HandLoop(tiny_config(override))


def test_a_lazy_penalty_is_spread_over_its_interval() -> None:
    plain = Cost(flops=100, bytes=10, operators=5, saved=7, weights=1, state=4)
    dear = Cost(flops=180, bytes=30, operators=9, saved=20, weights=1, state=4)
    assert plain.amortised([(dear, 8)]) == Cost(110, 12.5, 5.5, 20, 1, 4)
    _, whole = costs(HandLoop(tiny_config("penalty.r1.interval=1")))
    loop = HandLoop(tiny_config("penalty.r1.interval=1"))
    loop.step()
    assert whole.flops == cost_of(loop, ["r1"]).flops


def test_the_model_recovers_what_made_the_points() -> None:
    def point(flops: float, moved: float) -> dict[str, Any]:
        cost = {"flops": flops, "bytes": moved, "state": 10.0, "saved": moved / 2}
        return {"seconds": 0.002 + flops / 1e11, "memory": 1e6 + 3 * moved / 2, "cost": cost}

    steps = [point(f, m) for f, m in ((1e8, 3e6), (5e8, 2e7), (2e9, 3e7), (8e9, 2e8))]
    images = [{"images": n, "seconds": 0.5 + n / 2000} for n in (100, 1000, 5000)]
    model = growth.explain(steps, images, 1e12)
    fixed, per_operation, per_byte = model["seconds"]
    assert (1e3 * fixed, 1e11 * per_operation) == pytest.approx((2, 1), rel=1e-6)
    assert per_byte == 0
    assert model["images"] == pytest.approx([0.5, 1 / 2000], rel=1e-6)
    assert all(p["predicted"] == pytest.approx(p["seconds"]) for p in model["steps"])
    assert "2.00 ms + operations / (100 GFLOP/s)" in growth.words(model)


def test_no_cost_is_negative() -> None:
    fitted = growth.fit_above([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]], [3.0, 2.0, 1.0], [0, 0])
    assert min(fitted) >= 0


def test_eight_devices_pay_for_their_reduction() -> None:
    cost = {"flops": 4e14, "bytes": 0.0, "operators": 0.0, "weights": 2e11}
    gpu = growth.Accelerator()
    assert gpu.step(cost) == pytest.approx(1.0)
    assert gpu.reduction(cost, 1) == 0
    assert gpu.reduction(cost, 8) == pytest.approx(2 * 7 / 8 + 2 * gpu.latency)


@pytest.mark.slow
def test_a_scaling_from_points_to_predictions(here: None, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(points, "WARMUP", 1)
    monkeypatch.setattr(points, "processes", lambda *a: {"images_per_second": 5.0, "memory": 2e8})
    command = ["task=scaling", "scaling.steps=8", "scaling.batch_sizes=[8,16]"]
    command += ["scaling.widths=[4]", "scaling.image_sizes=[32]", "scaling.num_images=[10,20]"]
    command += ["scaling.rounds=2"]
    assert run(tmp_path, *command, "scaling.processes=[1]", f"overrides={LEAN}") == 0
    figures = report(tmp_path)
    assert [(p["axis"], p["value"]) for p in figures["steps"]] == [
        *[("batch", 8), ("batch", 16), ("width", 4), ("image size", 32)],
    ]
    small, large = figures["steps"][:2]
    assert large["cost"]["flops"] == pytest.approx(2 * small["cost"]["flops"], rel=0.05)
    machines = [p["machine"] for p in figures["predictions"]]
    assert machines == 2 * ["this machine", "1 GPU", "8 GPUs"]
    assert "Predictions, not measured" in (tmp_path / "report.md").read_text()


LEAN = json.dumps([*NARROW["dcgan"], "trainer.precision=32-true", "data.batch_size=8"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ranks", "jobs"])
def test_processes_report_their_rate(kind: str) -> None:
    found = points.processes("dcgan_mnist", kind, 1, 8, 1, json.loads(LEAN))
    assert found["images_per_second"] > 0
    assert found["memory"] > 1e7


@pytest.mark.slow
def test_the_first_step_is_timed_from_the_command() -> None:
    names = [startup.IMPORTS, "speedrun_mnist"]
    found = startup.rounds(names, 1, ["data=fake", *NARROW["dcgan"], *LOCAL])["seconds"]
    imports, first_step = (found[name][0] for name in names)
    assert 0 < imports < 300
    assert 0.5 < first_step < 300
    assert "times the imports" in startup.report(found)


LOCAL = ["logger=csv", "trainer.accelerator=cpu"]


def test_a_start_that_fails_says_why() -> None:
    with pytest.raises(RunError, match="nothing is not an option"):
        startup.seconds("nothing", [])


@pytest.mark.slow
def test_a_process_of_its_own() -> None:
    import os

    assert apart(os.getpid) != os.getpid()
    with pytest.raises(RunError, match="the measuring process died"):
        apart(os._exit, 3)


def test_damaged_files_are_measured_again(here: None, tmp_path: Path) -> None:
    kept, calls = Results(tmp_path, None, []), []

    def count(overrides: list[str]) -> dict[str, int]:
        calls.append(overrides)
        return {"calls": len(calls)}

    assert kept.get("a", {"x": 1}, count) == kept.get("a", {"x": 1}, count) == {"calls": 1}
    (file,) = (tmp_path / "measurements").iterdir()
    file.write_text(file.read_text()[:20])
    assert kept.get("a", {"x": 1}, count) == {"calls": 2}
    assert kept.get("a", {"x": 2}, count) == {"calls": 3}


def test_tables_line_up() -> None:
    lines = table(["a", "long name"], [["wide cell", 1], ["b", 22]]).splitlines()
    assert lines[1] == "|-----------|-----------|"
    assert len({len(line) for line in lines}) == 1


@pytest.fixture
def on_meta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GAN:
    """A module after a tiny fit, moved to torch's meta device: shapes without numbers.

    Whatever would wait for a device (`.item()`, `.cpu()`, `if tensor`) raises there.
    """
    return moved_to_meta(tiny_config("penalty.r1.interval=2"), tmp_path, monkeypatch)


def moved_to_meta(config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GAN:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # has no meta device
    config.trainer.max_epochs = config.trainer.limit_train_batches = 1
    for player in ("generator", "discriminator"):
        if "fused" in config.optimizer[player]:  # which have no meta kernels
            config.optimizer[player].fused = False
    quiet_lightning()
    module, data = assemble.build_module(config), assemble.build_data(config)
    trainer = build_trainer(config, tmp_path, [], logger=False)
    trainer.fit(module, datamodule=data)
    module.to("meta")
    module.recent = {}
    trainer.strategy.optimizers = module.configure_optimizers()
    return module


def meta_batches() -> Any:
    images, labels = assemble.build_data(tiny_config()).images("train")
    return iter(ResidentBatches(images, labels, 16, seed=0, device="meta"))


@pytest.mark.slow
def test_a_step_never_waits_for_the_device(on_meta: GAN, monkeypatch) -> None:
    monkeypatch.setattr(GAN, "is_logging", False)
    batches = meta_batches()
    before = on_meta.discriminator_updates
    for index in range(3):  # with the penalty and without
        on_meta.training_step(next(batches), index)
    assert on_meta.discriminator_updates == before + 3


OPTIONS = [option for options in pairs.choices().values() for option in options]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.slow
def test_no_option_waits_for_the_device(option: str, tmp_path: Path, monkeypatch) -> None:
    """Every loss, penalty, augmentation, architecture, conditioning and optimizer."""
    monkeypatch.setattr(GAN, "is_logging", False)
    config = pairs.compose(Pair(option, "seed=0"), TINY)
    if config is None:
        pytest.skip(f"the default networks have no {option}")
    try:
        module = moved_to_meta(config, tmp_path, monkeypatch)
    except UserError:
        pytest.skip(f"{option} is refused beside the defaults")
    batches = meta_batches()
    for index in range(2):
        module.training_step(next(batches), index)


@pytest.mark.parametrize("waiting", ["item", "cpu", "branch"])
@pytest.mark.slow
def test_a_wait_would_be_noticed(waiting: str, on_meta: GAN, monkeypatch) -> None:
    monkeypatch.setattr(GAN, "is_logging", False)

    def update(module: Any, average: Any, source: Any, *_: Any) -> None:
        weight = next(source.parameters()).sum()
        {"item": weight.item, "cpu": weight.cpu, "branch": weight.__bool__}[waiting]()

    monkeypatch.setattr(type(on_meta.ema), "update", update)
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        on_meta.training_step(next(meta_batches()), 0)


def test_only_a_step_that_is_logged_waits(on_meta: GAN, monkeypatch) -> None:
    monkeypatch.setattr(GAN, "is_logging", True)
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        on_meta.training_step(next(meta_batches()), 0)


def test_a_budget_in_seconds_may_be_a_fraction() -> None:
    config = trials.compose("speedrun_mnist", *trials.for_seconds(0.25))
    assert config.trainer.max_time == {"milliseconds": 250}
    assert config.trainer.max_epochs is None
