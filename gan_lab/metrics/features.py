"""The extractor: a small classifier whose pooled activations are the space of every metric.

Pooled strokes (middle layer) stand beside pooled shapes (last layer), so that the metrics see
texture as well as class; all are scaled to unit variance over the data the network learnt from.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.data.datamodule import ImageData
from gan_lab.data.images import to_float
from gan_lab.data.sources import as_folder
from gan_lab.metrics.storage import write_atomically

MNIST_WEIGHTS = Path(__file__).parent / "weights" / "mnist.safetensors"


class FeatureNet(nn.Module):
    """Images [N, C, H, W] in [-1, 1] -> (features [N, 128], logits [N, num_classes])."""

    num_features = 128

    def __init__(self, channels: int = 1, num_classes: int = 10):
        super().__init__()
        self.strokes = nn.Sequential(
            _block(channels, 32, kernel=5, stride=2), _block(32, 48), _block(48, 48)
        )
        self.shapes = nn.Sequential(_block(48, 64, stride=2), _block(64, 64), _block(64, 80))
        # A large eps: a channel that is silent on the data must not drown the others elsewhere.
        self.scale = nn.BatchNorm1d(self.num_features, eps=1e-3, affine=False)
        self.classify = nn.Linear(self.num_features, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        strokes = self.strokes(images)
        shapes = self.shapes(strokes)
        pooled = torch.cat([strokes.mean((2, 3)), shapes.mean((2, 3))], dim=1)
        features = self.scale(pooled)
        return features, self.classify(features)


def _block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class ImageFeatures(Protocol):
    """What the metrics need of a network; `gives` says what its logits are good for.

    "logits": they are there (K > 0). "classes": they name the classes of the data.
    """

    identity: str
    device: torch.device
    gives: frozenset[str]

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 images [N, C, H, W] -> (features float32 [N, F], logits [N, K]) on the CPU."""
        ...


class Extractor:
    """A frozen feature network, the shape that it learnt from, and the hash that names it."""

    gives = frozenset({"logits", "classes"})

    def __init__(
        self,
        net: FeatureNet,
        image_shape: Sequence[int],
        identity: str,
        device: torch.device | str = "cpu",
    ):
        self.image_shape = tuple(image_shape)
        self.identity = identity
        self.device = torch.device(device)
        self.net = net.eval().requires_grad_(False).to(self.device)
        self.net.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def features(self, images: Tensor, batch_size: int = 250) -> tuple[Tensor, Tensor]:
        """uint8 images [N, C, H, W] -> (features float32 [N, F], logits [N, K]) on the CPU.

        Of 32x32 images, where the network learnt from 28x28, the frame that `resize` adds is cut.
        """
        images = self._fitted(images)
        parts = [self._batch(batch) for batch in images.split(batch_size)]
        features, logits = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(logits)

    def _batch(self, images: Tensor) -> tuple[Tensor, Tensor]:
        inputs = to_float(images.to(self.device)).contiguous(memory_format=torch.channels_last)
        features, logits = self.net(inputs)
        return features.cpu(), logits.cpu()

    def _fitted(self, images: Tensor) -> Tensor:
        channels, *size = self.image_shape
        if images.ndim == 4 and images.shape[2:] == (32, 32) and size == [28, 28]:
            images = images[:, :, 2:30, 2:30]
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != self.image_shape:
            raise UserError(
                f"images are {str(images.dtype).removeprefix('torch.')} {list(images.shape)}; this "
                f"feature network takes uint8 [N, {channels}, {size[0]}, {size[1]}]: convert them, "
                "or train one for these data with `python -m gan_lab.train_features`"
            )
        return images


def channel_classes(extractor: Extractor, images: Tensor) -> Tensor:
    """Classes [N, C] that a network for grey images sees in each channel (stacked digits)."""
    count, channels, *size = images.shape
    _, logits = extractor.features(images.reshape(count * channels, 1, *size))
    return logits.argmax(1).view(count, channels)


def save_extractor(net: FeatureNet, path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Write the weights and, beside them, the card that pins their sha256; returns the card."""
    tensors = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    content = save_tensors(tensors)
    pinned = {**card, "sha256": hashlib.sha256(content).hexdigest()}
    write_atomically(path, content)
    write_atomically(path.with_suffix(".json"), (json.dumps(pinned, indent=2) + "\n").encode())
    return pinned


def find_weights(data: ImageData) -> Path:
    """Where the network for a data set lies, whether it is there yet or not.

    It depends on the source and its shape only: a subset is measured with the whole's network.
    """
    source, shape = data.source, f"{data.channels}x{data.image_size}"
    if source.key == "mnist" and shape in ("1x28", "1x32"):
        return MNIST_WEIGHTS
    key = hashlib.sha256(f"{source.key} {shape}".encode()).hexdigest()
    return as_folder(data.root) / "features" / f"{source.name}-{key[:16]}.safetensors"


def load_extractor(path: Path = MNIST_WEIGHTS, device: torch.device | str = "cpu") -> Extractor:
    """Load weights that match their card's sha256; UserError where they are missing or do not."""
    card_path = path.with_suffix(".json")
    if not (path.is_file() and card_path.is_file()):
        raise UserError(
            f"no feature network {path} with its card {card_path.name} beside it; "
            "make it with `python -m gan_lab.train_features data=NAME`"
        )
    content, card = path.read_bytes(), _read_card(card_path)
    identity = hashlib.sha256(content).hexdigest()
    if identity != card["sha256"]:
        raise UserError(
            f"feature network {path} has sha256 {identity}, but its card pins {card['sha256']}; "
            "restore the files, or make both anew with `python -m gan_lab.train_features`"
        )
    return Extractor(_build(content, path), card["image_shape"], identity, device)


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text())
        return {"sha256": card["sha256"], "image_shape": [int(n) for n in card["image_shape"]]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no card of a feature network: {error!r}") from error


def _build(content: bytes, path: Path) -> FeatureNet:
    try:
        tensors = load_tensors(content)
        channels = tensors["strokes.0.0.weight"].shape[1]
        net = FeatureNet(channels, num_classes=len(tensors["classify.bias"]))
        net.load_state_dict(tensors)
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise UserError(f"{path} does not hold a feature network: {error}") from error
    return net
