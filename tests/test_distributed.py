"""Two ranks on the CPU: one run, equal weights, different data and latents, the right gradient."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gan_lab.launch import assemble
from gan_lab.metrics.features import FeatureNet, find_weights, save_extractor
from tests.conftest import tiny, tiny_config
from tests.test_train import steps_of

TWO_RANKS = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]
PLAIN = ["networks.discriminator.dropout=0", "optimizer=sgd", "schedule=constant"]
PLAIN += [
    f"optimizer.{p}.{k}" for p in ("generator", "discriminator") for k in ("lr=0.1", "momentum=0")
]
pytestmark = pytest.mark.slow


def run_ranks(folder: Path, *overrides: str, networks: str = "dcgan"):
    probe = str(Path(__file__).with_name("probe_ranks.py"))
    command = [sys.executable, probe, f"hydra.run.dir={folder}"]
    command += [*TWO_RANKS, *tiny(*overrides, networks=networks)]
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two ranks, with what each of them saw in rank_0.pt and rank_1.pt."""
    folder = tmp_path_factory.mktemp("ranks") / "run"
    done = run_ranks(folder, *PLAIN, networks="mlp")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if "run:" in line] == [f"run: {folder}"]
    return folder


def seen_by(folder: Path) -> list[dict]:
    return [torch.load(folder / f"rank_{rank}.pt") for rank in (0, 1)]


def test_one_run_counts_the_images_of_both(two_ranks: Path) -> None:
    result = json.loads((two_ranks / "result.json").read_text())
    assert result["world_size"] == 2
    assert result["images_seen"] == 2 * 4 * 32  # 2 epochs of 4 batches of 16 on each rank
    assert [p.name for p in two_ranks.parent.iterdir()] == ["run"]
    assert len(steps_of(two_ranks)) == 3


def test_ranks_end_equal_and_see_different_things(two_ranks: Path) -> None:
    one, two = seen_by(two_ranks)
    assert all(torch.equal(a, b) for a, b in zip(one["weights"], two["weights"], strict=True))
    assert not torch.equal(one["latents"], two["latents"])
    assert not torch.equal(one["real"], two["real"])


def test_cores_are_divided(two_ranks: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    assert [seen["threads"] for seen in seen_by(two_ranks)] == [max(1, cores // 2)] * 2


def test_gradient_equals_that_of_the_joined_batch(two_ranks: Path) -> None:
    """One step of gradient descent on two ranks is that of one process on both batches."""
    seen = seen_by(two_ranks)
    module = assemble.build_module(tiny_config(*PLAIN, networks="mlp"))
    real, latents = (torch.cat([s[key] for s in seen]) for key in ("real", "latents"))
    objective, critic, generator = module.objective, module.discriminator, module.generator
    fake = generator(latents)
    terms, *_ = objective.discriminator_terms(critic, real, fake.detach(), None, 0)
    torch.stack(list(terms.values())).sum().backward()
    assert_updates_follow(seen[0]["discriminator_update"], critic)
    with torch.no_grad():
        for parameter in critic.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.1 * parameter.grad)
    objective.generator_terms(critic, real, fake, None)["loss"].backward()
    assert_updates_follow(seen[0]["generator_update"], generator)


def assert_updates_follow(updates: list[torch.Tensor], network: torch.nn.Module) -> None:
    """Each update is -0.1 times the gradient, to 1e-6 of the gradient's own units."""
    for parameter, update in zip(network.parameters(), updates, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(update / -0.1, parameter.grad, atol=1e-6, rtol=0)


def test_two_ranks_resume_exactly(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run_ranks(whole, "schedule=constant").returncode == 0
    assert run_ranks(parts, "schedule=constant", "trainer.max_epochs=1").returncode == 0
    command = [sys.executable, "-m", "gan_lab.train", f"resume={parts}", "trainer.max_epochs=2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    a, b = (torch.load(f / "checkpoints" / "last.ckpt", weights_only=True) for f in (whole, parts))
    assert a["progress"] == b["progress"]
    for key, value in a["state_dict"].items():
        assert torch.equal(value, b["state_dict"][key]), key


@pytest.mark.slow
def test_a_job_of_several_ranks_is_a_process_of_its_own(tmp_path: Path) -> None:
    """In the sweep's own process each rank would start the whole sweep again."""
    command = [sys.executable, "-m", "gan_lab.train", "-m", "seed=0,1", *TWO_RANKS]
    command += [f"hydra.sweep.dir={tmp_path / 'sweep'}", *tiny("trainer.max_epochs=1")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for number, name in ((1, "seed_0"), (2, "seed_1")):
        assert f"[{number}/2] {name}: finished" in done.stdout
        result = json.loads((tmp_path / "sweep" / name / "result.json").read_text())
        assert (result["status"], result["world_size"]) == ("finished", 2)


def test_two_ranks_evaluate_together(tmp_path: Path) -> None:
    """Rank 0 measures, all of them save; an evaluation on the last batch is not asked for twice."""
    root = f"data.root={tmp_path / 'data'}"
    data = assemble.build_data(tiny_config(root))
    save_extractor(FeatureNet().eval(), find_weights(data), {"image_shape": [1, 28, 28]})
    often = ["callbacks.evaluation.every=64", "callbacks.evaluation.num_images=20"]
    done = run_ranks(tmp_path / "run", root, *often)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["metric"] == result["best"]["fid"]
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


def test_ranks_share_one_clock(tmp_path: Path) -> None:
    timed = ["trainer.max_epochs=null", "trainer.max_time=00:00:00:04"]
    done = run_ranks(tmp_path / "run", *timed)
    assert done.returncode == 0, done.stderr
    one, two = seen_by(tmp_path / "run")
    assert one["rates"] == two["rates"]
    assert len(set(one["rates"])) > 1
    assert all(torch.equal(a, b) for a, b in zip(one["weights"], two["weights"], strict=True))
