"""Features of large networks for colour photographs, through torch-fidelity (an optional extra).

Inception is what papers report FID with (Heusel et al. 2017); CLIP (Kynkäänniemi et al. 2023) and
DINOv2 (Stein et al. 2023) agree better with people. Nothing is downloaded behind your back.
"""

import hashlib
import importlib
import pickle
import re
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_lab import UserError

INSTALL = "python -m pip install 'gan_lab[fidelity]'"
DINOV2_CODE = "facebookresearch_dinov2_main"  # as torch.hub names it


class Foundation(NamedTuple):
    """One network: torch-fidelity's name, its outputs, and its weight file."""

    name: str
    outputs: tuple[str, ...]  # features, then logits where there are any
    file: str
    url: str
    sha256: str  # its first digits; empty where the publisher names none


FOUNDATIONS = {
    "inception": Foundation(
        "inception-v3-compat",
        ("2048", "logits_unbiased"),
        "weights-inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/",
        "6726825d",
    ),
    "clip": Foundation(
        "clip-vit-b-32",
        ("clip",),
        "ViT-B-32.pt",
        "https://openaipublic.azureedge.net/clip/models/"
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    ),
    "dinov2": Foundation(
        "dinov2-vit-l-14",
        ("dinov2",),
        "dinov2_vitl14_pretrain.pth",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/",
        "",
    ),
}


class FoundationExtractor:
    """The interface of `metrics.features.Extractor` for images of any size, grey or RGB."""

    image_shape = (3, None, None)  # the networks scale to their own size

    def __init__(
        self, net: nn.Module, has_logits: bool, identity: str, device: torch.device | str = "cpu"
    ):
        self.device = torch.device(device)
        self.net = net.eval().requires_grad_(False).to(self.device)
        self.identity = identity
        # ImageNet's classes are not the data's, so nothing may be counted by them
        self.gives = frozenset({"logits"} if has_logits else ())

    @torch.no_grad()
    def features(self, images: Tensor, batch_size: int = 50) -> tuple[Tensor, Tensor]:
        """uint8 images [N, C, H, W] -> (features float32 [N, F], logits [N, K]) on the CPU.

        K is 0 where the network has no classes. Grey images are given to all three channels.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise UserError(
                f"images are {str(images.dtype).removeprefix('torch.')} {list(images.shape)}; "
                "these networks take uint8 [N, 3, H, W], or one channel"
            )
        parts = [self._batch(batch) for batch in images.split(batch_size)]
        features, logits = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(logits)

    def _batch(self, images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.net(images.to(self.device).expand(-1, 3, -1, -1).contiguous())
        features = outputs[0].flatten(1).float().cpu()
        if "logits" not in self.gives:
            return features, features.new_empty(len(images), 0)
        return features, outputs[1].float().cpu()


def load_foundation(choice: str, device: torch.device | str = "cpu") -> FoundationExtractor:
    """A network of FOUNDATIONS; UserError where the package or its weights are missing."""
    foundation = FOUNDATIONS[choice]
    package = import_package(choice)
    path = find_file(choice)
    digest = check_file(choice, path)
    # torch-fidelity reads DINOv2 from torch.hub's folder only
    given = {} if choice == "dinov2" else {"feature_extractor_weights_path": str(path)}
    utils = importlib.import_module("torch_fidelity.utils")
    try:
        net = utils.create_feature_extractor(
            foundation.name, list(foundation.outputs), cuda=False, verbose=False, **given
        )
    except (OSError, RuntimeError) as error:
        raise UserError(f"extractor={choice} could not be made from {path}: {error}") from error
    identity = f"{foundation.name} {digest} torch-fidelity {package.__version__}"
    return FoundationExtractor(net, len(foundation.outputs) > 1, identity, device)


def import_package(choice: str) -> ModuleType:
    """torch_fidelity, 0.4 or later."""
    try:
        package = importlib.import_module("torch_fidelity")
    except ImportError as error:
        message = f"extractor={choice} needs the package torch-fidelity: {INSTALL}"
        raise UserError(message) from error
    found = str(getattr(package, "__version__", "0"))
    if [int(part) for part in re.findall(r"\d+", found)[:2]] < [0, 4]:
        raise UserError(f"extractor={choice} needs torch-fidelity 0.4, not {found}: {INSTALL}")
    return package


def find_file(choice: str) -> Path:
    """Where the weights must lie: in torch.hub's folder, which TORCH_HOME moves."""
    foundation, hub = FOUNDATIONS[choice], Path(torch.hub.get_dir())
    path = hub / "checkpoints" / foundation.file
    if not path.is_file():
        raise UserError(
            f"extractor={choice} needs its weights at {path}; put the file there, from "
            f"{foundation.url}{foundation.file}"
        )
    if choice == "dinov2" and not (hub / DINOV2_CODE / "hubconf.py").is_file():
        raise UserError(
            f"extractor=dinov2 needs its code at {hub / DINOV2_CODE}: "
            f"git clone https://github.com/facebookresearch/dinov2 {hub / DINOV2_CODE}"
        )
    return path


def check_file(choice: str, path: Path) -> str:
    """The file's sha256; UserError where it is another file, or could run code when read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    expected = FOUNDATIONS[choice].sha256
    if not digest.startswith(expected):
        raise UserError(
            f"{path} has sha256 {digest}, not {expected}...; download it again, from "
            f"{FOUNDATIONS[choice].url}{path.name}"
        )
    if path.suffix == ".pth":  # the package would read it with pickle
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise UserError(f"{path} holds something else than weights: {error}") from error
    return digest
