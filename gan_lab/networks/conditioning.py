"""What the players may be told beside noise and pixels: a label, or a code (codes.py).

Generators take labels by an embedding beside the latents (Mirza and Osindero 2014) or by batch norm
with a gain and a bias for each class (de Vries et al. 2017; Dumoulin et al. 2017); critics by a
plane beside the pixels or by projection (Miyato and Koyama 2018).
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.networks.codes import Code, code_of
from gan_lab.networks.layers import pack

GeneratorConditioning = Literal["none", "embedding", "batch_norm"]
CriticConditioning = Literal["none", "embedding", "projection"]
MAX_EMBEDDING = 64  # numbers that stand for a label, where there are that many classes


class LatentInputs(nn.Module):
    """What a generator's first layer gets: noise, the code, and an embedding of the label.

    [N, Z], labels [N] or None -> [N, size]. Without code and embedding, the latents themselves.

    Args:
        latent_dim: size Z of the latent vectors, the code's among them.
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: "embedding" adds the label's; "batch_norm" is for the layers to come.
        code: `categorical` and `continuous` of a `Code`, or None.
    """

    def __init__(
        self,
        latent_dim: int,
        num_classes: int = 0,
        conditioning: GeneratorConditioning = "none",
        code: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = classes_of(num_classes, conditioning)
        self.code: Code | None = code_of(code, latent_dim)
        self.size = latent_dim
        if self.code is not None:
            self.size += sum(self.code.categorical) - len(self.code.categorical)
        self.embedding: nn.Embedding | None = None
        if conditioning == "embedding":
            self.embedding = nn.Embedding(num_classes, min(num_classes, MAX_EMBEDDING))
            self.size += self.embedding.embedding_dim

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        labels = required(labels, self.num_classes)
        noise = latents if self.code is None else self.code.inputs(latents)
        if self.embedding is None:
            return noise
        return torch.cat([noise, self.embedding(labels)], 1)


class CriticInputs(nn.Module):
    """What a critic's first layer gets: samples, packed, or with a plane made of the label.

    [N, C, ...], labels [N] or None -> [N // packing, channels, ...]; a flat sample [N, P] gets a
    vector instead of a plane.

    Args:
        shape: of a sample, (channels, height, width) or (numbers,).
        num_classes: of the data; of no effect where conditioning is "none".
        conditioning: "embedding" adds the plane; "projection" is for the last layer.
        packing: samples that are judged together.
    """

    def __init__(
        self,
        shape: Sequence[int],
        num_classes: int = 0,
        conditioning: CriticConditioning = "none",
        packing: int = 1,
    ) -> None:
        super().__init__()
        if packing < 1:
            raise UserError(f"packing={packing} must be at least 1 sample per logit")
        if packing > 1 and conditioning != "none":
            raise UserError(
                f"packing={packing} judges samples of several labels at once, which "
                f"conditioning={conditioning} cannot; use packing=1 or conditioning=none"
            )
        self.packing = packing
        self.num_classes = classes_of(num_classes, conditioning)
        self.channels = shape[0] * packing
        self.embedding: nn.Embedding | None = None
        if conditioning == "embedding":
            flat = (min(num_classes, MAX_EMBEDDING),)
            self.plane = (1, *shape[1:]) if len(shape) > 1 else flat
            self.embedding = nn.Embedding(num_classes, prod(self.plane))
            self.channels += self.plane[0]

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        labels = required(labels, self.num_classes)
        if self.packing > 1:
            return pack(samples, self.packing)
        if self.embedding is None:
            return samples
        return torch.cat([samples, self.embedding(labels).unflatten(1, self.plane)], 1)


class Projection(nn.Module):
    """Add <embedding of the label, features> to a logit (Miyato and Koyama 2018, eq. 3).

    logits [N], features [N, F], labels [N] or None -> [N]; off, the logits as they are.
    """

    def __init__(
        self, num_features: int, num_classes: int, conditioning: CriticConditioning
    ) -> None:
        super().__init__()
        self.embedding: nn.Embedding | None = None
        if conditioning == "projection":
            self.embedding = nn.Embedding(num_classes, num_features)
            # Features of unit size then start with products of unit size.
            nn.init.normal_(self.embedding.weight, 0.0, num_features**-0.5)

    def forward(self, logits: Tensor, features: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embedding is None:
            return logits
        labels = required(labels, self.embedding.num_embeddings)
        return logits + (self.embedding(labels) * features).sum(1)


class ConditionalBatchNorm(nn.Module):
    """Batch norm with a gain and a bias of each class (Dumoulin et al. 2017, eq. 5).

    [N, C, ...], labels [N] -> the same shape. Starts as plain batch norm: gains 1, biases 0.

    Args:
        norm: batch norm without a gain and a bias of its own (`affine=False`).
        num_classes: of the labels.
    """

    takes_labels = True

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, num_classes: int) -> None:
        super().__init__()
        self.norm = norm
        self.gain = nn.Embedding(num_classes, norm.num_features)
        self.bias = nn.Embedding(num_classes, norm.num_features)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        normal = self.norm(x)
        shape = (-1, *[1] * (x.ndim - 2))
        # In the layer's own precision: float32 gains would widen all that follows.
        gain = self.gain(labels).unflatten(1, shape).to(normal.dtype)
        return gain * normal + self.bias(labels).unflatten(1, shape).to(normal.dtype)


def batch_norm(width: int, num_classes: int) -> nn.Module:
    """Batch norm for images, conditional where there are classes."""
    if num_classes == 0:
        return nn.BatchNorm2d(width)
    return ConditionalBatchNorm(nn.BatchNorm2d(width, affine=False), num_classes)


class LabelledSequential(nn.Sequential):
    """Layers in sequence, some of which take the labels too (those with `takes_labels`)."""

    takes_labels = True

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        for layer in self:
            x = layer(x, labels) if getattr(layer, "takes_labels", False) else layer(x)
        return x


def classes_of(num_classes: int, conditioning: str) -> int:
    """How many classes a player is told of: 0 without conditioning."""
    if num_classes < 0:
        raise UserError(f"num_classes={num_classes} must be 0 (no labels) or more classes")
    if conditioning == "none":
        return 0
    if num_classes < 1:
        raise UserError(
            f"conditioning={conditioning} needs labels, and num_classes={num_classes}; use "
            "conditioning=none, or data with classes"
        )
    return num_classes


def required(labels: Tensor | None, num_classes: int) -> Tensor | None:
    """The labels, which a conditional player must be given."""
    if num_classes and labels is None:
        raise UserError(f"this network needs a label for each sample, of {num_classes} classes")
    return labels


def refuse_batch_norm(conditioning: str, name: str) -> None:
    """For generators without batch norm."""
    if conditioning == "batch_norm":
        raise UserError(
            f"conditioning=batch_norm: the generator of networks={name} has no batch norm; use "
            "conditioning=embedding or projection, or networks=dcgan"
        )
