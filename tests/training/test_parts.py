"""Averaging, schedules, sampling, and files, each without a training run."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from gan_lab import RunError, UserError
from gan_lab.objectives.losses import NonSaturating
from gan_lab.training import checkpoint
from gan_lab.training.callbacks.samples import mark_after, thin
from gan_lab.training.ema import EMA, average_of
from gan_lab.training.measures import Stopwatch, of_gradients, of_logits
from gan_lab.training.rows import read_rows
from gan_lab.training.sampling import draw_latents, generate_images, truncate
from gan_lab.training.schedules import Constant, Cosine, Linear


def test_ema_halves_by_its_half_life() -> None:
    ema = EMA(half_life=1000, ramp=None)
    assert ema.beta(1000, 10**6) == pytest.approx(0.5)
    assert ema.beta(250, 10**6) ** 4 == pytest.approx(0.5)
    assert EMA(half_life=0).beta(64, 10**6) == 0.0


def test_ema_ramp_forgets_the_start() -> None:
    ema = EMA(half_life=10_000, ramp=0.05)
    assert ema.beta(50, 1000) == pytest.approx(0.5)  # 5 % of 1,000 images
    assert ema.beta(50, 10**7) == pytest.approx(0.5 ** (50 / 10_000))


def test_ema_averages_weights_and_copies_statistics() -> None:
    network = nn.BatchNorm1d(2)
    average = average_of(network)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.get_buffer("running_mean").fill_(7.0)
    EMA(half_life=64, ramp=None).update(average, network, 64, 10**6)
    assert average.get_parameter("weight").tolist() == [2.0, 2.0]  # halfway from 1 to 3
    assert average.get_buffer("running_mean").tolist() == [7.0, 7.0]
    assert not average.training
    assert not average.get_parameter("weight").requires_grad


@pytest.mark.parametrize("arguments", [{"half_life": -1.0}, {"ramp": 0.0}])
def test_ema_refuses(arguments: dict) -> None:
    with pytest.raises(UserError, match="must be"):
        EMA(**arguments)


def test_schedules() -> None:
    linear = Linear(hold=0.5, final=0.1)
    assert [linear(p) for p in (0, 0.25, 0.5)] == [1, 1, 1]
    assert linear(0.75) == pytest.approx(0.55)
    assert linear(1.0) == pytest.approx(0.1)
    assert Cosine()(0.5) == pytest.approx(0.5)
    assert Cosine(final=0.2)(1.0) == pytest.approx(0.2)
    assert Constant()(0.9) == 1
    for schedule in (Constant(warmup=0.1), Linear(warmup=0.1), Cosine(warmup=0.1)):
        assert schedule(0) == 0
        assert schedule(0.05) == pytest.approx(0.5, rel=0.02)
    with pytest.raises(UserError, match=r"schedule.hold=1.5 must lie in \[0, 1\]"):
        Linear(hold=1.5)


def test_latents_do_not_depend_on_how_many_are_drawn() -> None:
    everything = draw_latents(3, 0, 1000, 5)
    assert torch.equal(draw_latents(3, 250, 530, 5), everything[250:530])
    assert torch.equal(draw_latents(3, 999, 1000, 5), everything[999:])
    assert not torch.equal(draw_latents(4, 0, 1000, 5), everything)
    assert everything.mean().abs() < 0.05
    assert everything.std() == pytest.approx(1, abs=0.05)


def test_drawing_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    draw_latents(0, 0, 10, 4)
    assert torch.equal(torch.get_rng_state(), state)


def test_truncation_is_a_truncated_normal() -> None:
    latents = draw_latents(0, 0, 20_000, 1)
    squeezed = truncate(latents, 0.5)
    assert squeezed.abs().max() <= 0.5
    assert torch.equal(squeezed.flatten().argsort(), latents.flatten().argsort())  # keeps the order
    expected = 1 - 2 * 0.5 * math.exp(-0.125) / math.sqrt(2 * math.pi) / math.erf(0.5 / 2**0.5)
    assert squeezed.var().item() == pytest.approx(expected, rel=0.03)
    assert truncate(latents, None) is latents


class Constant_(nn.Module):
    latent_dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, latents, labels=None):
        return (self.scale * latents[:, :1]).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def test_images_do_not_depend_on_the_batch_size() -> None:
    one, many = (generate_images(Constant_(), 300, 0, batch_size=n) for n in (7, 300))
    assert torch.equal(one, many)
    assert one.shape == (300, 1, 2, 2)
    assert one.dtype == torch.uint8


def test_marks_double_then_repeat() -> None:
    marks = [0]
    while marks[-1] < 100_000:
        marks.append(mark_after(marks[-1], 20_000))
    assert marks == [0, 1000, 2000, 4000, 8000, 16000, 20000, 40000, 60000, 80000, 100000]
    assert mark_after(4500, 20_000) == 8000  # a function of the images alone


def test_thin_keeps_first_and_last() -> None:
    assert thin(list(range(100)), 5) == [0, 25, 50, 74, 99]
    assert thin([1, 2], 5) == [1, 2]


WHOLE = {"format_version": 1, "config": {}, "progress": {}, "state_dict": {}}


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    content = {**WHOLE, "config": {"a": [1, None]}}
    checkpoint.save(content, tmp_path / "new" / "a.ckpt")
    assert checkpoint.load(tmp_path / "new" / "a.ckpt")["config"] == {"a": [1, None]}
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.ckpt"]


def test_failed_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "last.ckpt"
    checkpoint.save(WHOLE, path)
    before = path.read_bytes()

    def half(content, file) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(RunError, match="No space left"):
        checkpoint.save({"format_version": 1, "config": {}, "more": 1}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "cannot be read"),
        (b"not a checkpoint at all", "cannot be read"),
        ([1, 2], "is not a gan_lab checkpoint"),
        ({"format_version": 1, "config": {}}, "is not a gan_lab checkpoint"),
        ({**WHOLE, "format_version": 99}, "format version 99"),
        ({"format_version": 1, "config": Evil()}, "cannot be read"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_bad_checkpoints_are_refused(content, message: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / "bad.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match=message):
        checkpoint.load(path)
    assert "code ran" not in capsys.readouterr().out


def test_truncated_checkpoints_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.ckpt"
    checkpoint.save(
        {"format_version": 1, "config": {}, "state_dict": {"w": torch.ones(999)}}, whole
    )
    data = whole.read_bytes()
    for tenth in range(10):
        path = tmp_path / "cut.ckpt"
        path.write_bytes(data[: len(data) * tenth // 10])
        with pytest.raises(UserError, match=r"cut.ckpt"):
            checkpoint.load(path)


def test_rows_cut_short_by_a_crash_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("images_seen,epoch,loss\n64,0,1.5\n128,0,1.4\n19")
    assert [row["images_seen"] for row in read_rows(path)] == ["64", "128"]


def test_ema_over_several_critic_steps_counts_their_images() -> None:
    """With n_critic=3 a generator's update stands for three batches of real images."""
    assert EMA(half_life=300, ramp=None).beta(3 * 100, 10**6) == pytest.approx(0.5)


def test_what_is_logged_of_logits_in_closed_form() -> None:
    real, fake = torch.tensor([2.0, 2.0, -1.0, 3.0]), torch.tensor([-1.0, -2.0, -3.0, 1.0])
    row = of_logits(NonSaturating(), real, fake)
    assert row["discriminator/real"].item() == pytest.approx(torch.sigmoid(real).mean().item())
    assert row["discriminator/fake"].item() == pytest.approx(torch.sigmoid(fake).mean().item())
    assert row["discriminator/real"] > row["discriminator/fake"]
    assert row["discriminator/logit_real"].item() == 1.5
    assert row["discriminator/accuracy_real"].item() == 0.75
    assert row["discriminator/accuracy_fake"].item() == 0.75
    assert of_logits(NonSaturating(), real, fake - 9)["discriminator/accuracy_fake"].item() == 1


def test_gradient_norm_in_closed_form() -> None:
    player = nn.Linear(2, 1)
    player.weight.grad, player.bias.grad = torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])
    assert (
        of_gradients("generator", list(player.parameters()))["generator/gradient_norm"].item() == 5
    )


def test_stopwatch_adds_up_sessions() -> None:
    watch = Stopwatch()
    watch.seconds = 100.0
    watch.start(64)
    assert 100 <= watch.total() < 101
    assert watch.read(128)["images_per_second"] > 0
