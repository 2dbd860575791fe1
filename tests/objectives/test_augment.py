"""Augmentations: what they leave alone, what they do on average, and that penalties run through."""

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from gan_lab import UserError
from gan_lab.launch.entry import CONF
from gan_lab.launch.schema import build
from gan_lab.objectives.adaptive import Adaptive
from gan_lab.objectives.augment import DiffAugment, InstanceNoise, cutout
from gan_lab.objectives.consistency import LeCam
from gan_lab.objectives.penalties import R1
from gan_lab.objectives.warps import resample, translate
from tests.conftest import tiny_config

OPTIONS = sorted(path.stem for path in (CONF / "augment").glob("*.yaml"))
ALTERING = [name for name in OPTIONS if name != "none"]


def make(name: str):
    return build(tiny_config(f"augment={name}").augment, "augment")


def at_strength(augment, p: float):
    """The same augmentation, where it is adaptive with this probability."""
    if isinstance(augment, Adaptive):
        augment.level.fill_(round(p * augment.speed))
    return augment


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 1, 28, 28), (4, 3, 8, 12)])
def test_shape_and_precision_stay(name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    images = torch.rand(shape).to(dtype)
    out = at_strength(make(name), 0.8)(images)
    assert out.shape == shape
    assert out.dtype == dtype
    assert out.isfinite().all()


@pytest.mark.parametrize("name", ALTERING)
def test_each_sample_is_altered_on_its_own(name: str) -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 16, 16)
    augment = at_strength(make(name), 1.0)
    first, second = augment(image.expand(2, -1, -1, -1))
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    once = augment(image)
    torch.manual_seed(1)
    assert torch.equal(augment(image), once)  # a function of torch's own generator


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_penalties_run_through(name: str, channels: int) -> None:
    """R1 of a critic behind the augmentation trains the critic and reaches the images' gradient."""
    torch.manual_seed(0)
    augment = at_strength(make(name), 0.9)
    weight = torch.randn(channels, 9, 9, requires_grad=True)
    images = torch.rand(3, channels, 9, 9, requires_grad=True)

    def critic(x: Tensor) -> Tensor:
        return (weight * augment(x)).flatten(1).sum(1).square()

    (gradient,) = torch.autograd.grad(critic(images).sum(), images)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
    R1(1.0)(critic, images, images).sum().backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()
    assert weight.grad.norm() > 0


def test_warps_differentiate_twice() -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    rows, columns = 4 * torch.rand(2, 2, 3, 4, dtype=torch.float64) - 0.5
    down, right = torch.tensor([[1, -2], [3, 0]])
    for warp in (
        lambda x: resample(x.square(), rows, columns),
        lambda x: translate(x.square(), down, right, reflected=False),
        lambda x: translate(x.square(), down, right, reflected=True),
    ):
        assert torch.autograd.gradcheck(warp, images)
        assert torch.autograd.gradgradcheck(warp, images)


@pytest.mark.parametrize("name", OPTIONS)
def test_nothing_waits_for_the_device(name: str) -> None:
    """Tensors without values: whoever asks for one, as .item() and `if tensor` do, fails."""
    with FakeTensorMode():
        augment, images = make(name), torch.rand(4, 3, 16, 16)
        if hasattr(augment, "at"):
            augment.at(0.5)
        if hasattr(augment, "observe"):
            augment.observe(torch.randn(4))
        augment(images)
        LeCam()(torch.randn(4), torch.randn(4))


@pytest.mark.parametrize("name", ALTERING)
def test_points_are_noised_or_refused(name: str) -> None:
    points = torch.rand(5, 2)
    if isinstance(augment := make(name), InstanceNoise):
        assert augment(points).shape == points.shape
        return
    with pytest.raises(UserError, match=rf"augment={name} moves pixels.*augment=instance_noise"):
        augment(points)


def test_translation_moves_the_picture_and_leaves_zeros() -> None:
    image = torch.arange(1.0, 13).view(1, 1, 3, 4)
    one, none = torch.tensor([1]), torch.tensor([0])
    down = translate(image, one, none, reflected=False)[0, 0]
    assert down.tolist() == [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]]
    left = translate(image, none, -one, reflected=False)[0, 0]
    assert left.tolist() == [[2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0]]
    mirrored = translate(image, one, none, reflected=True)[0, 0]
    assert mirrored.tolist() == [[5, 6, 7, 8], [1, 2, 3, 4], [5, 6, 7, 8]]


def test_diffaugment_translation_is_even_over_its_reach() -> None:
    """A dot ends evenly within an eighth of 16 pixels: 25 places, each in 4 % of the draws."""
    torch.manual_seed(0)
    dot = torch.zeros(5000, 1, 16, 16)
    dot[:, :, 7, 8] = 1
    share = DiffAugment(["translation"])(dot).mean(0)[0]
    torch.testing.assert_close(share[5:10, 6:11], torch.full((5, 5), 0.04), atol=0.015, rtol=0)
    assert share.sum().item() == pytest.approx(1)
    assert share[5:10, 6:11].sum().item() == pytest.approx(1)


def test_cutout_masks_a_square_of_half_the_size() -> None:
    """Of 29 places of the middle along a side of 28, 14 hide its middle and 8 its first pixel."""
    torch.manual_seed(0)
    seen = cutout(torch.ones(4000, 1, 28, 28))
    assert set(seen.unique().tolist()) == {0.0, 1.0}
    hidden = 1 - seen.mean(0)[0]
    assert hidden[14, 14].item() == pytest.approx((14 / 29) ** 2, abs=0.03)
    assert hidden[0, 0].item() == pytest.approx((8 / 29) ** 2, abs=0.03)
    areas = (1 - seen).sum((1, 2, 3))
    assert areas.max().item() == 14 * 14
    assert areas.min().item() >= 7 * 7


def test_diffaugment_colour() -> None:
    """On average nothing changes, a single colour moves by at most 0.5, grey images by nothing."""
    torch.manual_seed(0)
    augment = DiffAugment(["color"])
    image = torch.rand(1, 3, 4, 4)
    many = augment(image.expand(8000, -1, -1, -1))
    torch.testing.assert_close(many.mean(0, keepdim=True), image, atol=0.03, rtol=0)
    flat = torch.full((2000, 3, 2, 2), 0.25)
    change = augment(flat) - flat
    assert change.abs().max().item() <= 0.5 + 1e-6
    assert change.mean((1, 2, 3)).var().item() == pytest.approx(1 / 12, abs=0.01)
    grey = torch.rand(4, 1, 4, 4)
    assert torch.equal(augment(grey), grey)


def test_instance_noise_decays_linearly_and_exactly() -> None:
    augment = InstanceNoise(std=0.5, until=0.5)
    images = torch.zeros(200, 1, 10, 10)
    for progress, std in ((0.0, 0.5), (0.125, 0.375), (0.25, 0.25), (0.5, 0.0), (1.0, 0.0)):
        augment.at(progress)
        torch.manual_seed(0)
        noise = augment(images)
        torch.manual_seed(0)
        assert torch.equal(noise, std * torch.randn_like(images))


@pytest.mark.parametrize("shape", [(4, 1, 28, 28), (4, 3, 9, 12)])
@pytest.mark.parametrize("flip", [False, True])
def test_ada_at_probability_0_is_the_identity_to_the_bit(
    shape: tuple[int, ...], flip: bool
) -> None:
    torch.manual_seed(0)
    images = torch.randn(shape)
    assert torch.equal(Adaptive(flip=flip)(images), images)


def test_ada_alters_the_share_that_p_says() -> None:
    """A grey image stays as it is where all gates are closed, each with probability 1 - p."""
    torch.manual_seed(0)
    augment = at_strength(Adaptive(), 0.2)
    image = torch.rand(1, 1, 8, 8)
    many = augment(image.expand(3000, -1, -1, -1))
    same = (many == image).all((1, 2, 3)).float().mean().item()
    # Turns, two scalings, two fractional shifts; half of the two whole ones are by 0 pixels.
    expected = 0.8**5 * (0.8 + 0.2 * 0.5) ** 2
    assert same == pytest.approx(expected, abs=0.03)


@pytest.mark.slow
def test_ada_leaves_the_mean_image_in_its_place() -> None:
    """A round blot in the middle, moved, scaled and turned evenly, keeps its centre and its sum."""
    torch.manual_seed(0)
    axis = torch.arange(33.0) - 16
    blot = torch.exp(-(axis[:, None] ** 2 + axis**2) / 8)[None, None]
    mean = at_strength(Adaptive(), 1.0)(blot.expand(3000, -1, -1, -1)).mean(0)[0]
    total = mean.sum()
    assert ((mean.sum(1) * axis).sum() / total).item() == pytest.approx(0, abs=0.4)
    assert ((mean.sum(0) * axis).sum() / total).item() == pytest.approx(0, abs=0.4)
    assert (total / blot.sum()).item() == pytest.approx(1, abs=0.15)  # scaling has mean above 1


def test_ada_flips_only_where_asked() -> None:
    torch.manual_seed(0)
    ramp = torch.arange(32.0).expand(600, 1, 32, 32)
    for flip, share in ((False, 0.0), (True, 0.5)):
        out = at_strength(Adaptive(flip=flip), 1.0)(ramp)
        falls = (out[:, 0, 16, 18] < out[:, 0, 16, 15]).float().mean().item()
        assert falls == pytest.approx(share, abs=0.08)


def test_ada_turns_by_up_to_the_angle() -> None:
    torch.manual_seed(0)
    one = torch.ones(())
    matrices = Adaptive(rotation=30.0).turn(2000, one)
    angles = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert 29 < angles.max() <= 30.001
    assert -30.001 <= angles.min() < -29
    unit = matrices @ matrices.mT
    torch.testing.assert_close(unit, torch.eye(2).expand(2000, 2, 2))


def test_ada_colour_keeps_greys_grey_and_hues_apart() -> None:
    """Hue and saturation turn around the grey axis; luma flips mirror along it."""
    torch.manual_seed(0)
    augment = at_strength(Adaptive(), 1.0)
    grey = torch.full((500, 3, 1, 1), 0.3)
    out = augment.recolour(grey)[:, :, 0, 0]
    torch.testing.assert_close(out, out[:, :1].expand(-1, 3), atol=1e-5, rtol=1e-5)
    assert (out[:, 0] < 0).float().mean().item() == pytest.approx(0.5, abs=0.12)  # flipped
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(500, -1, -1, -1)
    chroma = augment.recolour(red)[:, :, 0, 0]
    hues = (chroma - chroma.mean(1, keepdim=True)).argmax(1).bincount(minlength=3) / 500
    torch.testing.assert_close(hues, torch.full((3,), 1 / 3), atol=0.08, rtol=0)


def observed(augment: Adaptive, *batches: Tensor) -> list[float]:
    """The probability after each of the batches' logits."""
    found = []
    for logits in batches:
        augment.observe(logits)
        found.append(augment.probability.item())
    return found


def test_ada_follows_the_signs_of_the_critic() -> None:
    """Up by 4 batches of 10 images over 100 after 4 calls, then down, never beyond [0, 1]."""
    augment = Adaptive(target=0.6, speed=100, interval=4)
    sure, torn = torch.full((10,), 3.0), torch.tensor([1.0, -1.0] * 5)
    assert observed(augment, *[sure] * 4) == pytest.approx([0, 0, 0, 0.4])
    assert observed(augment, *[sure] * 8)[-1] == pytest.approx(1.0)
    assert observed(augment, *[sure] * 4)[-1] == 1.0
    assert observed(augment, *[torn] * 4) == pytest.approx([1, 1, 1, 0.6])
    assert observed(augment, *[torn] * 12)[-1] == 0.0
    # the mean over the interval counts: 3 of 4 sure batches have r = 0.75
    assert observed(augment, sure, torn, sure, sure)[-1] == pytest.approx(0.4)


def test_ada_goes_on_from_its_state_within_an_interval() -> None:
    torch.manual_seed(0)
    batches = [torch.randn(8) + 1 for _ in range(40)]
    whole, first, second = (Adaptive(speed=1000, interval=3) for _ in range(3))
    expected = observed(whole, *batches)
    observed(first, *batches[:20])
    second.load_state_dict(first.state_dict())
    assert observed(second, *batches[20:]) == expected[20:]
    assert len(set(expected)) > 3


def test_ada_keeps_its_count_in_any_precision() -> None:
    """In bfloat16 a probability above 0.1 could not rise by 64 images of 500,000."""
    augment = Adaptive().to(torch.bfloat16)
    for _ in range(4):
        augment.observe(torch.ones(64, dtype=torch.bfloat16))
    augment.level.fill_(300_000)
    before = augment.level.item()
    for _ in range(4):
        augment.observe(torch.ones(64, dtype=torch.bfloat16))
    assert augment.level.item() == before + 4 * 64


REFUSED = [
    (InstanceNoise, {"std": -0.1}),
    (InstanceNoise, {"until": 0.0}),
    (InstanceNoise, {"until": 1.5}),
    (DiffAugment, {"policy": ["colour"]}),
    (Adaptive, {"target": -0.1}),
    (Adaptive, {"target": 1.1}),
    (Adaptive, {"speed": 0}),
    (Adaptive, {"interval": 0}),
    (Adaptive, {"rotation": -1.0}),
    (Adaptive, {"rotation": 181.0}),
]


@pytest.mark.parametrize(("kind", "arguments"), REFUSED)
def test_arguments_that_are_refused(kind, arguments) -> None:
    ((name, _),) = arguments.items()
    with pytest.raises(UserError, match=f"augment {name}="):
        kind(**arguments)


@pytest.mark.parametrize("policy", ["[cutout]", "[]"])
def test_a_policy_is_a_list_of_names(policy: str) -> None:
    node = tiny_config("augment=diffaugment", f"augment.policy={policy}").augment
    assert list(build(node, "augment").policy) == list(node.policy)


@pytest.mark.parametrize("policy", ["[cut]", "cutout"])
def test_any_other_policy_is_refused(policy: str) -> None:
    node = tiny_config("augment=diffaugment", f"augment.policy={policy}").augment
    with pytest.raises(UserError, match=r"augment\.policy"):
        build(node, "augment")
