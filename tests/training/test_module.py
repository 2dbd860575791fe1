"""The order of the updates: who moves when, and who must not."""

import copy
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback

from gan_lab.launch import assemble
from gan_lab.launch.fit import quiet_lightning
from gan_lab.launch.trainer import build_trainer
from tests.conftest import tiny_config


class Watch(Callback):
    """Record both players' weights around each step of their optimizers."""

    def __init__(self) -> None:
        self.moves: list[tuple[bool, bool]] = []
        self.latents: list[torch.Tensor] = []

    def on_train_batch_start(self, trainer, module, *_) -> None:
        self.before = copy.deepcopy((module.discriminator, module.generator))

    def on_train_batch_end(self, trainer, module, *_) -> None:
        players = (module.discriminator, module.generator)
        discriminator, generator = (
            not same(a, b) for a, b in zip(self.before, players, strict=True)
        )
        self.moves.append((discriminator, generator))


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def fit(folder: Path, *overrides: str, callbacks=(), networks: str = "dcgan"):
    quiet_lightning()
    config = tiny_config("trainer.max_epochs=1", *overrides, networks=networks)
    module, data = assemble.build_module(config), assemble.build_data(config)
    trainer = build_trainer(config, folder, list(callbacks), logger=False)
    trainer.fit(module, datamodule=data)
    return module


@pytest.mark.parametrize("n_critic", [1, 2, 3])
def test_generator_moves_every_n_critic_batches(n_critic: int, tmp_path: Path) -> None:
    watch = Watch()
    module = fit(tmp_path, f"n_critic={n_critic}", callbacks=[watch])
    assert [moved for moved, _ in watch.moves] == [True] * 8
    assert [moved for _, moved in watch.moves] == [(i + 1) % n_critic == 0 for i in range(8)]
    assert module.images_seen == 8 * 16
    assert module.discriminator_updates == 8
    assert module.generator_updates == 8 // n_critic


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_player_without_a_rate_stays(player: str, tmp_path: Path) -> None:
    """Each optimizer holds one player's weights: with rate 0 they stay while the other's move."""
    watch = Watch()
    fit(tmp_path, f"optimizer.{player}.lr=0", callbacks=[watch])
    discriminator_moves, generator_moves = zip(*watch.moves, strict=True)
    assert any(discriminator_moves) == (player == "generator")
    assert any(generator_moves) == (player == "discriminator")


def test_generator_step_leaves_no_gradient_on_the_discriminator(tmp_path: Path) -> None:
    class Probe(Callback):
        def __init__(self) -> None:
            self.gradients: list[torch.Tensor] = []

        def on_train_batch_end(self, trainer, module, *_) -> None:
            critic = list(module.discriminator.parameters())
            assert all(p.requires_grad for p in critic)
            self.gradients.append(torch.cat([p.grad.flatten() for p in critic]))

    with_step, without = Probe(), Probe()
    fit(tmp_path, callbacks=[with_step])
    fit(tmp_path, "n_critic=100", callbacks=[without])
    # The first batch's critic gradient is the same whether or not the generator moves after it.
    assert torch.equal(with_step.gradients[0], without.gradients[0])


def test_discriminator_learns_against_a_frozen_generator(tmp_path: Path) -> None:
    rows = []

    class Record(Callback):
        def on_metrics(self, trainer, module, metrics) -> None:
            rows.append(metrics)

    frozen = ["optimizer.generator.lr=0", "trainer.log_every_n_steps=1", "trainer.max_epochs=4"]
    fit(tmp_path, *frozen, "optimizer.discriminator.lr=2e-3", callbacks=[Record()])
    assert rows[-1]["discriminator/loss"] < 0.5 * rows[0]["discriminator/loss"]
    assert rows[-1]["discriminator/accuracy_real"] == 1


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_gradient_clipping_bounds_the_update(player: str, tmp_path: Path) -> None:
    sgd = ["optimizer=sgd", f"optimizer.{player}.momentum=0", f"optimizer.{player}.lr=1"]
    moved = []

    class Distance(Callback):
        def on_train_batch_start(self, trainer, module, *_) -> None:
            self.before = [p.detach().clone() for p in getattr(module, player).parameters()]

        def on_train_batch_end(self, trainer, module, *_) -> None:
            now = getattr(module, player).parameters()
            pairs = zip(self.before, now, strict=True)
            moved.append(torch.stack([(a - b).norm() for a, b in pairs]).norm().item())

    fit(tmp_path, *sgd, "schedule=constant", f"clip.{player}=0.01", callbacks=[Distance()])
    assert max(moved) <= 0.01 * 1.001


@pytest.mark.slow
def test_rate_falls_to_zero_over_the_budget(tmp_path: Path) -> None:
    rates = []

    class Rates(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            rates.append(trainer.optimizers[1].param_groups[0]["lr"])

    fit(tmp_path, "trainer.max_epochs=2", "optimizer.generator.lr=0.1", callbacks=[Rates()])
    assert rates[:8] == [0.1] * 8
    assert rates[8:] == pytest.approx([0.1 * (1 - i / 8) for i in range(8)])


def test_same_seed_same_weights_other_seed_others(tmp_path: Path) -> None:
    one, two = fit(tmp_path, "seed=5"), fit(tmp_path, "seed=5")
    torch.rand(3)  # what else draws random numbers does not matter
    assert same(one.generator, two.generator)
    assert same(one.generator_ema, two.generator_ema)
    assert not same(one.generator, fit(tmp_path, "seed=6").generator)


def test_measuring_does_not_change_training(tmp_path: Path) -> None:
    often = fit(tmp_path, "trainer.log_every_n_steps=1")
    assert same(often.generator, fit(tmp_path, "trainer.log_every_n_steps=50").generator)


@pytest.mark.parametrize("networks", ["dcgan", "mlp"])
def test_bfloat16_trains(networks: str, tmp_path: Path) -> None:
    module = fit(tmp_path, "trainer.precision=bf16-mixed", networks=networks)
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert all(torch.isfinite(p).all() for p in module.parameters())


def test_the_average_counts_all_images_between_generator_updates(tmp_path: Path) -> None:
    """n_critic=2: half of 32 images is the half-life, so the first average is halfway."""
    seen: list[tuple] = []

    class Average(Callback):
        def on_train_batch_start(self, trainer, module, *_) -> None:
            self.before = [p.detach().clone() for p in module.generator_ema.parameters()]

        def on_train_batch_end(self, trainer, module, *_) -> None:
            if module.generator_updates == 1 and not seen:
                now, source = module.generator_ema.parameters(), module.generator.parameters()
                seen.extend(zip(self.before, source, now, strict=True))
                seen[:] = [tuple(t.detach().clone() for t in triple) for triple in seen]

    fit(tmp_path, "n_critic=2", "ema.half_life=32", "ema.ramp=null", callbacks=[Average()])
    for before, source, now in seen:
        torch.testing.assert_close(now, (before + source) / 2)


def test_a_lazy_penalty_is_in_every_row(tmp_path: Path) -> None:
    rows = []

    class Record(Callback):
        def on_metrics(self, trainer, module, metrics) -> None:
            rows.append(metrics)

    lazy = ["trainer.log_every_n_steps=2", "penalty.r1.interval=8", "networks.generator.width=4"]
    fit(tmp_path, *lazy, callbacks=[Record()])
    assert all("discriminator/r1" in row for row in rows)
    assert all(row["discriminator/gradient_norm"] > 0 for row in rows)


class Averages(Callback):
    """Whether the averaged generator moved in each batch, and which terms there were."""

    def __init__(self) -> None:
        self.moved: list[bool] = []
        self.penalised: list[bool] = []

    def on_train_batch_start(self, trainer, module, *_) -> None:
        self.before = copy.deepcopy(module.generator_ema)
        module.recent.clear()

    def on_train_batch_end(self, trainer, module, *_) -> None:
        self.moved.append(not same(self.before, module.generator_ema))
        self.penalised.append("discriminator/r1" in module.recent)


def test_a_lookahead_is_neither_averaged_nor_an_update_of_its_own(tmp_path: Path) -> None:
    """Both halves of an extragradient update see the same penalties; the average sees its end."""
    watch = Averages()
    overrides = ["optimizer=extra_adam", "penalty.r1.interval=2"]
    fit(tmp_path, *overrides, callbacks=[watch])
    assert watch.moved == [False, True] * 4
    assert watch.penalised == [True, True, False, False] * 2


def test_the_head_moves_with_the_discriminator(tmp_path: Path) -> None:
    rates = ["optimizer.generator.lr=1e-3", "optimizer.discriminator.lr=0"]
    still = fit(tmp_path / "a", "conditioning=auxiliary_classifier", *rates)
    start = assemble.build_module(tiny_config("conditioning=auxiliary_classifier"))
    assert same(still.objective.heads, start.objective.heads)
    assert not same(still.generator, start.generator)
    moved = fit(tmp_path / "b", "conditioning=auxiliary_classifier")
    assert not same(moved.objective.heads, start.objective.heads)


def test_weights_stay_within_the_clip(tmp_path: Path) -> None:
    module = fit(tmp_path, "objective=wasserstein", "penalty=weight_clipping")
    assert max(p.abs().max().item() for p in module.discriminator.parameters()) <= 0.01


class Layouts(Callback):
    """Of every map with several channels that a convolution reads or makes, and of its weight."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, bool]] = set()

    def on_train_start(self, trainer, module) -> None:
        for layer in (*module.generator.modules(), *module.discriminator.modules()):
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
                layer.register_forward_hook(self.note)

    def note(self, layer, inputs, output) -> None:
        for what, tensor in (("input", inputs[0]), ("output", output), ("weight", layer.weight)):
            if min(tensor.shape[1:]) > 1:  # with one channel both formats are the same
                last = tensor.is_contiguous(memory_format=torch.channels_last)
                assert last != tensor.is_contiguous()
                self.seen.add((what, last))


@pytest.mark.parametrize("networks", ["dcgan", "resnet", "r3gan"])
@pytest.mark.parametrize("asked", ["auto", "channels_last", "contiguous"])
@pytest.mark.slow
def test_the_memory_format_is_that_asked_for(networks: str, asked: str, tmp_path: Path) -> None:
    layouts = Layouts()
    short = ["trainer.limit_train_batches=1", f"memory_format={asked}", "data.channels=3"]
    module = fit(tmp_path, *short, callbacks=[layouts], networks=networks)
    last = asked != "contiguous"
    assert layouts.seen == {(what, last) for what in ("input", "output", "weight")}
    image = module.sample(torch.randn(2, module.generator.latent_dim))
    assert image.is_contiguous(memory_format=torch.channels_last) == last


def test_the_memory_format_changes_no_number_by_much(tmp_path: Path) -> None:
    rows: dict[str, list[float]] = {"channels_last": [], "contiguous": []}

    class Record(Callback):
        def on_metrics(self, trainer, module, metrics) -> None:
            rows[asked].append(metrics["discriminator/loss"])

    for asked in rows:
        every = ["trainer.log_every_n_steps=1", f"memory_format={asked}"]
        fit(tmp_path, *every, callbacks=[Record()])
    assert len(rows["contiguous"]) == 8
    assert rows["contiguous"] == pytest.approx(rows["channels_last"], rel=1e-3)
