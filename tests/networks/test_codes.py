"""InfoGAN's code: what its latents mean, by closed forms."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import nn

from gan_lab import UserError
from gan_lab.networks.codes import Code
from gan_lab.networks.conditioning import LatentInputs

CODE: dict[str, Any] = {"categorical": [3, 4], "continuous": 2}


def test_a_code_is_uniform() -> None:
    code = Code([3, 4], 2)
    latents = torch.randn(20_000, 7)
    (three, four), numbers = code.targets(latents)
    for categories, k in ((three, 3), (four, 4)):
        assert categories.dtype == torch.int64
        shares = torch.bincount(categories, minlength=k) / len(latents)
        torch.testing.assert_close(shares, torch.full((k,), 1 / k), atol=0.02, rtol=0)
    assert numbers.shape == (20_000, 2)
    assert numbers.abs().max() <= 1
    assert numbers.var(0).tolist() == pytest.approx([1 / 3, 1 / 3], abs=0.01)


def test_inputs_show_what_targets_name() -> None:
    code = Code(**CODE)
    latents = torch.randn(50, 6)
    (three, four), numbers = code.targets(latents)
    noise, hot_three, hot_four, shown = code.inputs(latents).split([2, 3, 4, 2], 1)
    assert torch.equal(noise, latents[:, :2])
    assert torch.equal(hot_three, nn.functional.one_hot(three, 3).float())
    assert torch.equal(hot_four, nn.functional.one_hot(four, 4).float())
    assert torch.equal(shown, numbers)


def test_extreme_latents_stay_in_range() -> None:
    (category,), numbers = Code([10], 1).targets(torch.tensor([[50.0, 50.0], [-50.0, -50.0]]))
    assert category.tolist() == [9, 0]
    assert numbers.tolist() == [[1.0], [-1.0]]


@pytest.mark.parametrize("values", list(product([0, 1, 2], [0, 3], [-1.0, 0.25], [1, -0.5])))
def test_imposed_values_come_back(values: tuple[float, ...]) -> None:
    code = Code(**CODE)
    (three, four), numbers = code.targets(code.impose(torch.randn(3, 8), values))
    assert three.tolist() == [values[0]] * 3
    assert four.tolist() == [values[1]] * 3
    torch.testing.assert_close(numbers, torch.tensor([values[2:]] * 3).float(), atol=3e-4, rtol=0)


def test_none_leaves_a_latent() -> None:
    code, latents = Code(**CODE), torch.randn(3, 8)
    before = latents.clone()
    imposed = code.impose(latents, [None, 2, None, None])
    changed = (imposed != latents).any(0)
    assert changed.nonzero().flatten().tolist() == [5]
    assert torch.equal(latents, before)  # a copy was changed


@pytest.mark.parametrize(
    "values", [[3, 0, 0, 0], [-1, 0, 0, 0], [0.5, 0, 0, 0], [0, 0, 1.5, 0], [True, 0, 0, 0]]
)
def test_values_out_of_range_are_refused(values: list[float]) -> None:
    meaning = r"a category of 0 to 2, a category of 0 to 3, a number in \[-1, 1\], a number"
    with pytest.raises(UserError, match=rf"value \d, .* is out of range: {meaning}"):
        Code(**CODE).impose(torch.randn(1, 8), values)


def test_every_code_latent_has_a_value() -> None:
    with pytest.raises(UserError, match=r"code=\[1\] must have 4 values: a category of 0 to 2"):
        Code(**CODE).impose(torch.randn(1, 8), [1])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ({"categorical": [1]}, r"code.categorical=\[1\] must be"),
        ({"categorical": [2.5]}, "code.categorical="),
        ({"continuous": -1}, "code.continuous=-1"),
        ({}, "code is empty"),
        ({"discrete": [3]}, "code has no setting discrete"),
        ({"continuous": 6}, "latent_dim=6 leaves no noise .*latent_dim to at least 7"),
    ],
)
def test_bad_codes_are_refused(code: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LatentInputs(6, code=code)


def test_nothing_waits_for_the_device() -> None:
    latents = torch.randn(2, 8, device="meta")
    assert Code(**CODE).inputs(latents).shape == (2, 4 + 3 + 4 + 2)
    assert Code(**CODE).impose(latents, [0, 1, None, 0.5]).shape == (2, 8)
