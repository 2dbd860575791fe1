"""Two options of different groups at a time: build them, and let both players step twice.

`python -m tests.pairs` steps every pair and writes docs/refusals.md.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple, cast

import torch
from omegaconf import DictConfig, OmegaConf

from gan_lab import UserError
from gan_lab.launch import assemble
from gan_lab.launch.entry import CONF, compose_run
from gan_lab.launch.refusals import REFUSALS
from gan_lab.launch.schema import signature
from gan_lab.launch.trust import resolve_target
from gan_lab.training.module import GAN, batches_per_update, frozen

DOCUMENT = Path(__file__).parents[1] / "docs" / "refusals.md"
GROUPS = ("networks", "conditioning", "objective", "penalty", "augment", "optimizer", "schedule")
CRITIC = ("spectral_norm=true", "minibatch_std=4", "packing=2", "norm=batch")  # options, not files
SMALL = ["data=fake", "data.batch_size=8", "seed=0"]
NARROW = {"width": 4, "hidden": [16], "latent_dim": 8, "style_dim": 8, "max_width": 8}


class Pair(NamedTuple):
    """Two choices, as they are typed."""

    one: str
    other: str

    def __str__(self) -> str:
        return f"{self.one} {self.other}"


def choices() -> dict[str, list[str]]:
    """Axis -> its options as overrides: the files of every group, and what a critic may have."""
    found = {
        group: [f"{group}={path.stem}" for path in sorted((CONF / group).glob("*.yaml"))]
        for group in GROUPS
    }
    return {**found, "critic": [f"networks.discriminator.{option}" for option in CRITIC]}


def pairs() -> list[Pair]:
    """Every two options of different axes, and every two penalties."""
    axes = choices()
    crossed = [Pair(a, b) for x, y in combinations(axes.values(), 2) for a, b in product(x, y)]
    names = [text.removeprefix("penalty=") for text in axes["penalty"] if "none" not in text]
    return crossed + [
        Pair(f"penalty=[{a},{b}]", "objective=hinge") for a, b in combinations(names, 2)
    ]


def singles() -> list[Pair]:
    """Every option alone, beside the default data."""
    return [Pair(option, "data=fake") for options in choices().values() for option in options]


def compose(pair: Pair, base: Sequence[str] = SMALL) -> DictConfig | None:
    """A pair beside the overrides `base`; None where its network does not have an option."""
    settings = [text for text in pair if not text.startswith("networks.")]
    if any("norm=batch" in text for text in pair) and not any("penalty" in text for text in pair):
        settings.append("penalty=none")  # the default's R1 would hide what the others say
    config, _ = compose_run("train", [*base, *settings])
    for text in pair:
        if text.startswith("networks."):
            key, value = text.split("=")
            name = key.rsplit(".", 1)[1]
            if name not in parameters(config.networks.discriminator):
                return None
            OmegaConf.update(config, key, int(value) if value.isdigit() else yaml(value))
    narrow(config)
    return config


def yaml(value: str) -> object:
    return OmegaConf.create({"value": value == "true" or value})["value"]


def parameters(node: DictConfig) -> list[str]:
    return list(signature(resolve_target(node._target_, "networks"))[1] or [])


def narrow(config: DictConfig) -> None:
    """Make the networks as small as they go."""
    for player in (config.networks.generator, config.networks.discriminator):
        for key, value in NARROW.items():
            if key in player:
                player[key] = value


def step(config: DictConfig) -> None:
    """Build what a run would build, and update both players twice, in bfloat16 as runs do.

    Raises:
        UserError: where the combination is refused.
    """
    module = assemble.build_module(config)
    optimizers = module.configure_optimizers()
    for update in range(2):
        real, labels = batch(config)
        latents = torch.randn(len(real), cast(int, module.generator.latent_dim))
        with torch.autocast("cpu", torch.bfloat16):
            fake = module.generator(latents, labels)
        code = module.code_of(latents)
        module.objective.at(update / 2)
        number = update // batches_per_update(optimizers[0])
        given = (module.discriminator, real, fake.detach(), labels, number, code)
        with torch.autocast("cpu", torch.bfloat16):
            terms, *_ = module.objective.discriminator_terms(*given)
        descend(optimizers[0], terms)
        module.objective.constrain(module.discriminator)
        with frozen(module.discriminator), frozen(module.objective.heads):
            players = (module.discriminator, real, fake, labels)
            with torch.autocast("cpu", torch.bfloat16):
                terms = module.objective.generator_terms(*players, code)
            descend(optimizers[1], terms)
    require_finite(module)


def batch(config: DictConfig) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (config.data.batch_size, *config.data.image_shape)
    return torch.rand(shape) * 2 - 1, torch.arange(shape[0]) % config.data.num_classes


def descend(optimizer: torch.optim.Optimizer, terms: dict[str, torch.Tensor]) -> None:
    optimizer.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    optimizer.step()


def require_finite(module: GAN) -> None:
    for name, parameter in module.named_parameters():
        assert parameter.isfinite().all(), f"{name} is not finite after two steps"


def outcome(pair: Pair) -> str | None:
    """ "stepped", the message of a refusal, or None where the pair does not exist."""
    config = compose(pair)
    if config is None:
        return None
    try:
        step(config)
    except UserError as error:
        return str(error)
    return "stepped"


def outcomes() -> Iterator[tuple[Pair, str]]:
    for pair in [*singles(), *pairs()]:
        found = outcome(pair)
        if found is not None:
            yield pair, found


def document(found: list[tuple[Pair, str]]) -> str:
    """docs/refusals.md: the rules, then every pair that is refused, by its message."""
    refused = [(str(pair), text) for pair, text in found if text != "stepped"]
    messages = dict.fromkeys(text for _, text in refused)
    rows = "\n\n".join(
        f"**{message}**\n\n" + "\n".join(f"- `{pair}`" for pair, text in refused if text == message)
        for message in messages
    )
    rules = "\n".join(f"| {r.what} | {r.why} | `{r.instead}` |" for r in REFUSALS)
    return f"""# What is refused

Every option of every group alone, and every two of different groups, were composed on `data=fake`
and stepped twice: {len(found) - len(refused)} train, {len(refused)} are refused before anything is
written. Made by `python -m tests.pairs`; a test holds it to what the program does.

## The rules

| combination | why | instead |
|---|---|---|
{rules}

What a part refuses by itself (an architecture without batch norm asked for conditional batch norm,
a translation of points) is said by that part. Beside `norm=batch` stands `penalty=none`, unless the
pair names another.

## The pairs, by their message

{rows}
"""


def main() -> None:
    torch.set_num_threads(1)
    found = list(outcomes())
    DOCUMENT.write_text(document(found))
    refused = sum(text != "stepped" for _, text in found)
    print(f"{len(found) - refused} pairs stepped, {refused} refused: {DOCUMENT}")


if __name__ == "__main__":
    main()
