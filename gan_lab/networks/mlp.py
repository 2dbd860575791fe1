"""The vanilla GAN's multilayer perceptrons (Goodfellow et al. 2014), for any image shape."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.networks.conditioning import (
    CriticConditioning,
    CriticInputs,
    GeneratorConditioning,
    LatentInputs,
    Projection,
    refuse_batch_norm,
)
from gan_lab.networks.layers import normalise, std_layers


class Generator(nn.Module):
    """Latents through leaky-ReLU layers to an image.

    The paper mixes ReLU and sigmoid units; leaky ReLU and tanh train faster and are used here.

    Args:
        latent_dim: size Z of the latent vectors.
        image_shape: (channels, height, width) of the images.
        hidden: width of each hidden layer.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: "embedding" puts the label beside the latents.
        code: `categorical` and `continuous` of a `Code` among the latents, or None.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: Sequence[int],
        hidden: Sequence[int] = (256, 512, 1024),
        num_classes: int = 0,
        conditioning: GeneratorConditioning = "none",
        code: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_widths(latent_dim, hidden)
        refuse_batch_norm(conditioning, "mlp")
        self.latent_dim = latent_dim
        self.image_shape = tuple(image_shape)
        self.inputs = LatentInputs(latent_dim, num_classes, conditioning, code)
        self.num_classes, self.code = self.inputs.num_classes, self.inputs.code
        widths = [self.inputs.size, *hidden]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        layers += [nn.Linear(widths[-1], prod(image_shape))]
        self.layers = nn.Sequential(*layers, *output_bounds(image_shape))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        inputs = self.inputs(latents, labels)
        return self.layers(inputs).unflatten(1, self.image_shape)  # [N, Z] -> [N, C, H, W]


class Discriminator(nn.Module):
    """Pixels through leaky-ReLU layers with dropout to one logit.

    Args:
        image_shape: (channels, height, width) of the images.
        hidden: width of each hidden layer.
        dropout: probability of dropping a hidden unit, as in the paper; 0 for none.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: how the critic is told the label.
        spectral_norm: divide every weight by its largest singular value.
        minibatch_std: samples in a group whose deviation is a feature; 0 for none.
        packing: samples that are judged together, [N] -> [N // packing] logits.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        hidden: Sequence[int] = (1024, 512, 256),
        dropout: float = 0.3,
        num_classes: int = 0,
        conditioning: CriticConditioning = "none",
        spectral_norm: bool = False,
        minibatch_std: int = 0,
        packing: int = 1,
    ) -> None:
        super().__init__()
        check_widths(1, hidden)
        if not 0 <= dropout < 1:
            raise UserError(f"dropout={dropout} must lie in [0, 1)")
        self.inputs = CriticInputs([prod(image_shape)], num_classes, conditioning, packing)
        self.packing, self.num_classes = packing, self.inputs.num_classes
        self.solitary = not (minibatch_std or packing > 1 or spectral_norm)  # each image by itself
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise([self.inputs.channels, *hidden]):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
        layers += std_layers(minibatch_std)
        self.num_features = hidden[-1] + bool(minibatch_std)
        self.layers = nn.Sequential(*layers, nn.Linear(self.num_features, 1))
        self.projection = Projection(self.num_features, num_classes, conditioning)
        if spectral_norm:
            normalise(self)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers[:-1](self.inputs(images.flatten(1), labels))  # [N, C, H, W] -> [N, F]

    def judge(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.projection(self.layers[-1](features).squeeze(1), features, labels)  # -> [N]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(self.features(images, labels), labels)


def output_bounds(image_shape: Sequence[int]) -> list[nn.Module]:
    """Images lie in [-1, 1]; points, of shape (2,), are in their own units."""
    return [nn.Tanh()] if len(image_shape) == 3 else []


def check_widths(latent_dim: int, hidden: Sequence[int]) -> None:
    if latent_dim < 1:
        raise UserError(f"latent_dim={latent_dim} must be at least 1")
    if not hidden or min(hidden) < 1:
        raise UserError(f"hidden={list(hidden)} must be a list of widths of at least 1")
