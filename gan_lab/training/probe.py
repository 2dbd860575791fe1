"""One look at both players that leaves no trace in the training: what the health monitor reads."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_lab.data.images import to_float
from gan_lab.data.points import Mixture
from gan_lab.data.seeds import mix
from gan_lab.metrics.features import MNIST_WEIGHTS, Extractor, find_weights, load_extractor
from gan_lab.metrics.health import Reference, auc, class_balance, diversity, spread
from gan_lab.objectives.losses import centred
from gan_lab.objectives.objective import Critic
from gan_lab.training.module import GAN, frozen, seed_step
from gan_lab.training.sampling import draw_latents, generate_images

SEED = 2**31 + 1  # its latents are nobody else's
FEWEST = 32  # held-out reals that say anything
FOLLOWED = 64  # of the samples: those whose motion is followed, and kept in checkpoints
Labelled = tuple[Tensor, Tensor]  # samples [M, ...], labels [M]


class Judge:
    """Samples -> features and classes, for any data set.

    Classes are those of the data's feature network or, of points, the nearest modes. Grey images
    without a network of their own are seen by that of MNIST, which knows strokes but not their
    classes; of others the pixels are compared, which tell much less.

    Raises:
        UserError: where the data's own network is damaged.
    """

    def __init__(self, data: Any, device: torch.device) -> None:
        self.extractor: Extractor | None = None
        self.num_classes = 0
        self.centres = data.source.centres if isinstance(data.source, Mixture) else None
        if self.centres is not None:
            self.num_classes = len(self.centres)
        elif find_weights(data).exists():
            self.extractor = load_extractor(find_weights(data), device)
            self.num_classes = self.extractor.net.classify.out_features
        elif data.image_shape in ((1, 28, 28), (1, 32, 32)):
            self.extractor = load_extractor(MNIST_WEIGHTS, device)

    def read(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 [N, C, H, W] or float32 points [N, D] -> features [N, F], classes [N] or None."""
        if self.centres is not None:
            samples = samples.float()
            return samples, torch.cdist(samples, self.centres).argmin(1)
        if self.extractor is None:
            return to_float(samples).flatten(1), None
        features, logits = self.extractor.features(samples)
        return features, logits.argmax(1) if self.num_classes > 1 else None

    def count(self, classes: Tensor) -> Tensor:  # [N] -> [K]
        return torch.bincount(classes, minlength=self.num_classes)


class Probe:
    """Reads the state of a game from `num_images` fixed latents and as many reals of each kind."""

    def __init__(self, data: Any, num_images: int, device: torch.device) -> None:
        self.num_images = num_images
        self.judge = Judge(data, device)
        train, held = self.some(data, "train"), None
        if split := held_out(data):
            held = self.some(data, split)
        best = held or train
        features, classes = self.judge.read(best[0])
        counts = None if classes is None else self.judge.count(classes)
        self.reference = Reference(features, counts)
        self.scale = max(spread(as_inputs(best[0]).flatten(1)), 1e-12)
        self.train = as_inputs(train[0]).to(device), train[1].to(device)
        self.held = None if held is None else (as_inputs(held[0]).to(device), held[1].to(device))

    def some(self, data: Any, split: str) -> Labelled:
        """The same `num_images` of a split at any time, spread over all of it."""
        images, labels = data.images(split)
        rows = torch.linspace(0, len(labels) - 1, min(self.num_images, len(labels))).long()
        return images[rows].contiguous(), labels[rows]

    def read(self, trainer: Any, module: GAN) -> tuple[dict[str, float], Tensor, Tensor | None]:
        """All measures of this moment, some samples [M, D], and all class counts [K] or None.

        Diversity is that of the averaged generator, which is what anybody draws from; balance and
        motion are those of the player.
        """
        seed_step(mix(SEED, module.images_seen), module.device)
        precision = trainer.strategy.precision_plugin.forward_context()
        with (
            untouched(module.generator),
            untouched(module.discriminator),
            precision,
            torch.compiler.set_stance("force_eager"),  # compiled code is of another batch size
        ):
            fake, labels = self.samples(module)
            measured = self.balance(module, fake, labels)
        diverse, counts = self.diversity(module, labels)
        return measured | diverse, fake[:FOLLOWED].flatten(1).float().cpu(), counts

    def diversity(
        self, module: GAN, labels: Tensor | None
    ) -> tuple[dict[str, float], Tensor | None]:
        drawn = generate_images(module.generator_ema, self.num_images, SEED, labels=labels)
        features, classes = self.judge.read(drawn)
        if not bool(features.isfinite().all()):
            return {"distance": math.nan}, None
        measured = diversity(features, self.reference)
        if classes is None or self.reference.class_counts is None:
            return measured, None
        counts = self.judge.count(classes)
        return measured | class_balance(counts, self.reference.class_counts), counts

    @torch.no_grad()
    def samples(self, module: GAN) -> tuple[Tensor, Tensor | None]:
        """What the generator (the player, not its average) makes of the fixed latents."""
        generator = module.generator
        latents = draw_latents(SEED, 0, self.num_images, cast(int, generator.latent_dim))
        labels = None
        if num_classes := cast(int, generator.num_classes):
            labels = torch.arange(self.num_images, device=module.device) % num_classes
        dtype = next(generator.parameters()).dtype
        return generator(latents.to(module.device, dtype), labels), labels

    def balance(self, module: GAN, fake: Tensor, labels: Tensor | None) -> dict[str, float]:
        """The critic on training reals, held-out reals and fakes, and what the generator hears.

        `critic_auc`: how surely a held-out real is ranked above a fake. `memorising`: a training
        real above a held-out one. `..._accuracy`: against the loss's threshold. `..._excess`: a
        player's loss above its value in equilibrium, where no logit tells anything.
        `output_gradient`: how much a sample's loss would change over the distance of two reals.
        """
        loss = module.objective.loss
        with torch.no_grad():
            train = self.logits(module, self.train)
            held = train if self.held is None else self.logits(module, self.held)
        with frozen(module.discriminator):
            on_fake, gradient = listen(module, fake, labels, held)
        size = min(len(held), len(on_fake))
        of_real, of_fake = centred(loss, held[:size], on_fake[:size])
        rest = torch.full((1,), loss.threshold)
        measured = {
            "critic_auc": auc(of_real, of_fake),
            "logit_gap": (of_real.mean() - of_fake.mean()).item(),
            "real_accuracy": (of_real > loss.threshold).double().mean().item(),
            "fake_accuracy": (of_fake < loss.threshold).double().mean().item(),
            "discriminator_excess": mean_above(loss.discriminator, (of_real, of_fake), rest),
            "generator_excess": mean_above(loss.generator, (of_fake, of_real), rest),
            "loss_slope": loss_slope(loss, of_fake, of_real),
            "output_gradient": gradient * self.scale,
        }
        return measured if self.held is None else {**measured, "memorising": auc(train, held)}

    def logits(self, module: GAN, reals: Labelled) -> Tensor:  # -> [M] on the CPU
        dtype = next(module.discriminator.parameters()).dtype
        return critic_of(module, reals[1])(reals[0].to(dtype)).float().cpu()


def critic_of(module: GAN, labels: Tensor | None) -> Critic:
    return module.objective.critic(module.discriminator, labels)


def held_out(data: Any) -> str:
    """The split that serves as held-out reals; empty where training uses all there are."""
    if isinstance(data.source, Mixture):
        return "test"  # drawn from the same mixture, as many as one likes
    if data.holdout < FEWEST or len(data.images("validation")[1]) < FEWEST:
        return ""
    return "validation"


def as_inputs(samples: Tensor) -> Tensor:
    """As the critic sees them: images in [-1, 1], points as they are."""
    return to_float(samples) if samples.dtype == torch.uint8 else samples


def listen(
    module: GAN, fake: Tensor, labels: Tensor | None, real_logits: Tensor
) -> tuple[Tensor, float]:
    """The critic's logits on the fakes [N], and the mean norm of the gradient that reaches each."""
    loss = module.objective.loss
    with torch.enable_grad():
        fake = fake.detach().requires_grad_(True)
        logits = critic_of(module, labels)(fake).float()
        total = loss.generator(logits, paired(real_logits, logits)).sum()
        (gradient,) = torch.autograd.grad(total, fake)
    return logits.detach().cpu(), gradient.flatten(1).norm(dim=1).mean().item()


def loss_slope(loss: Any, fake_logits: Tensor, real_logits: Tensor) -> float:
    """Mean |d loss / d logit| of the generator: what its loss lets through of a critic's gradient.

    1 for a Wasserstein critic; for the minimax loss D(G(z)), which vanishes where the critic wins.
    """
    with torch.enable_grad():
        logits = fake_logits.clone().requires_grad_(True)
        total = loss.generator(logits, paired(real_logits, logits)).sum()
        (slope,) = torch.autograd.grad(total, logits)
    return slope.abs().mean().item()


def paired(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """As many logits on reals as there are on fakes, on the same device."""
    rows = torch.arange(len(fake_logits)) % len(real_logits)
    return real_logits[rows].to(fake_logits.device)


def mean_above(loss: Any, logits: tuple[Tensor, Tensor], rest: Tensor) -> float:
    return (loss(*logits).mean() - loss(rest, rest).mean()).item()


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Let a network run as in training, and put back what that writes: batch-norm statistics."""
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        for buffer, before in kept:
            buffer.copy_(before)
