"""Multilayer perceptrons for points, the pair of PacGAN's 2-D experiments (Lin et al. 2018)."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.networks.conditioning import (
    ConditionalBatchNorm,
    CriticConditioning,
    CriticInputs,
    GeneratorConditioning,
    LabelledSequential,
    LatentInputs,
    Projection,
)
from gan_lab.networks.layers import normalise, std_layers
from gan_lab.networks.mlp import check_widths, output_bounds


class Generator(nn.Module):
    """Latents through ReLU layers with batch norm to a point; a tanh bounds images only.

    Args:
        latent_dim: size Z of the latent vectors.
        image_shape: shape of a sample, (2,) for points.
        hidden: width of each hidden layer.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: "embedding" beside the latents, or "batch_norm" in every layer.
        code: `categorical` and `continuous` of a `Code` among the latents, or None.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: Sequence[int],
        hidden: Sequence[int] = (400,) * 4,
        num_classes: int = 0,
        conditioning: GeneratorConditioning = "none",
        code: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_widths(latent_dim, hidden)
        self.latent_dim = latent_dim
        self.image_shape = tuple(image_shape)
        self.inputs = LatentInputs(latent_dim, num_classes, conditioning, code)
        self.num_classes, self.code = self.inputs.num_classes, self.inputs.code
        normed_classes = num_classes if conditioning == "batch_norm" else 0
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([self.inputs.size, *hidden]):
            layers += [nn.Linear(inputs, outputs), batch_norm(outputs, normed_classes), nn.ReLU()]
        layers += [nn.Linear(hidden[-1], prod(image_shape))]
        self.layers = LabelledSequential(*layers, *output_bounds(image_shape))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        points = self.layers(self.inputs(latents, labels), labels)  # [N, Z] -> [N, 2]
        return points.unflatten(1, self.image_shape)


class Discriminator(nn.Module):
    """Points through maxout layers to one logit.

    Args:
        image_shape: shape of a sample, (2,) for points.
        hidden: width of each hidden layer.
        pieces: linear functions whose maximum a hidden unit is.
        unit: length that the network takes as 1. A fresh layer bends within about 1 of the origin,
            so that data which reach farther meet a nearly linear critic; their standard deviation
            is a good unit.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: how the critic is told the label.
        spectral_norm: divide every weight by its largest singular value.
        minibatch_std: samples in a group whose deviation is a feature; 0 for none.
        packing: samples that are judged together, [N] -> [N // packing] logits.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        hidden: Sequence[int] = (200,) * 3,
        pieces: int = 5,
        unit: float = 1.0,
        num_classes: int = 0,
        conditioning: CriticConditioning = "none",
        spectral_norm: bool = False,
        minibatch_std: int = 0,
        packing: int = 1,
    ) -> None:
        super().__init__()
        check_widths(1, hidden)
        if pieces < 2:
            raise UserError(f"pieces={pieces} must be at least 2, or the network is linear")
        if not unit > 0:
            raise UserError(f"unit={unit} must be a length above 0, such as the data's deviation")
        self.unit = unit
        self.inputs = CriticInputs([prod(image_shape)], num_classes, conditioning, packing)
        self.packing, self.num_classes = packing, self.inputs.num_classes
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise([self.inputs.channels, *hidden]):
            layers += [nn.Linear(inputs, outputs * pieces), Maxout(pieces)]
        layers += std_layers(minibatch_std)
        self.num_features = hidden[-1] + bool(minibatch_std)
        self.layers = nn.Sequential(*layers, nn.Linear(self.num_features, 1))
        self.projection = Projection(self.num_features, num_classes, conditioning)
        if spectral_norm:
            normalise(self)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        points = images.flatten(1) / self.unit
        return self.layers[:-1](self.inputs(points, labels))  # [N, 2] -> [N, F]

    def judge(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.projection(self.layers[-1](features).squeeze(1), features, labels)  # -> [N]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.judge(self.features(images, labels), labels)


def batch_norm(width: int, num_classes: int) -> nn.Module:
    """Batch norm for vectors, conditional where there are classes."""
    if num_classes == 0:
        return nn.BatchNorm1d(width)
    return ConditionalBatchNorm(nn.BatchNorm1d(width, affine=False), num_classes)


class Maxout(nn.Module):
    """The largest of every `pieces` units (Goodfellow et al. 2013): [N, F * pieces] -> [N, F]."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, units: Tensor) -> Tensor:
        return units.unflatten(1, (self.pieces, -1)).amax(1)
