"""Large networks: what is missing is said, and with a stand-in for the package all of it fits."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab import UserError
from gan_lab.metrics import foundation
from gan_lab.metrics.foundation import FOUNDATIONS, FoundationExtractor, load_foundation
from gan_lab.metrics.protocol import evaluate_images
from gan_lab.metrics.reals import Reals
from tests.metrics.conftest import byte_images


class Pooled(nn.Module):
    """Means of the quarters of each channel; as logits, the first 8 of them."""

    def __init__(self, outputs: list[str]):
        super().__init__()
        self.outputs = outputs

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        pooled = nn.functional.adaptive_avg_pool2d(images.float(), 2)
        return (pooled, pooled.flatten(1)[:, :8])[: len(self.outputs)]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub"


@pytest.fixture
def package(monkeypatch) -> ModuleType:
    """A torch_fidelity that notes how it was called."""
    package: Any = ModuleType("torch_fidelity")
    package.__version__ = "0.4.0"
    calls: list = []

    def create(name: str, outputs: list[str], cuda: bool, **options: Any) -> nn.Module:
        calls.append((name, cuda, options))
        return Pooled(outputs)

    package.calls = calls
    utils: Any = SimpleNamespace(create_feature_extractor=create)
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, "torch_fidelity.utils", utils)
    return package


def put_weights(choice: str, hub: Path, monkeypatch) -> Path:
    """A file of weights that the table of networks accepts."""
    unpinned = FOUNDATIONS[choice]._replace(sha256="")
    monkeypatch.setitem(foundation.FOUNDATIONS, choice, unpinned)
    path = hub / "checkpoints" / unpinned.file
    torch.save({"weight": torch.zeros(2)}, path)
    code = hub / foundation.DINOV2_CODE
    code.mkdir()
    (code / "hubconf.py").touch()
    return path


@pytest.mark.parametrize("choice", FOUNDATIONS)
def test_without_the_package(choice, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(UserError, match=r"pip install 'gan_lab\[fidelity\]'"):
        load_foundation(choice)


def test_with_an_old_package(package):
    package.__version__ = "0.3.0"
    said = r"needs torch-fidelity 0\.4, not 0\.3\.0: python -m pip install"
    with pytest.raises(UserError, match=said):
        load_foundation("inception")


@pytest.mark.parametrize("choice", FOUNDATIONS)
def test_without_weights(choice, package, hub):
    with pytest.raises(UserError, match=r"needs its weights at .*put the file there") as caught:
        load_foundation(choice)
    file = FOUNDATIONS[choice].file
    assert str(hub / "checkpoints" / file) in str(caught.value)
    assert str(caught.value).endswith(file)
    assert not package.calls


def test_without_the_code_of_dinov2(package, hub, monkeypatch):
    put_weights("dinov2", hub, monkeypatch)
    (hub / foundation.DINOV2_CODE / "hubconf.py").unlink()
    with pytest.raises(UserError, match=r"needs its code at .*git clone"):
        load_foundation("dinov2")


def test_another_file_under_the_name_is_refused(package, hub):
    path = hub / "checkpoints" / FOUNDATIONS["inception"].file
    path.write_bytes(b"half a download")
    with pytest.raises(UserError, match=r"not 6726825d\.\.\.; download it again"):
        load_foundation("inception")
    assert not package.calls


def test_weights_that_could_run_code_are_refused(package, hub, monkeypatch):
    path = put_weights("inception", hub, monkeypatch)
    torch.save({"weight": Path("anything")}, path)
    with pytest.raises(UserError, match="holds something else than weights"):
        load_foundation("inception")
    assert not package.calls


def test_a_package_that_cannot_read_its_weights(package, hub, monkeypatch):
    put_weights("clip", hub, monkeypatch)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("missing keys")

    monkeypatch.setattr(sys.modules["torch_fidelity.utils"], "create_feature_extractor", fail)
    with pytest.raises(UserError, match=r"could not be made from .*: missing keys"):
        load_foundation("clip")


@pytest.mark.parametrize("choice", FOUNDATIONS)
def test_features_of_colour_and_grey(choice, package, hub, monkeypatch):
    path = put_weights(choice, hub, monkeypatch)
    extractor = load_foundation(choice)
    name, cuda, options = package.calls[0]
    assert (name, cuda) == (FOUNDATIONS[choice].name, False)
    given = {} if choice == "dinov2" else {"feature_extractor_weights_path": str(path)}
    assert options == {**given, "verbose": False}
    assert extractor.identity.startswith(name)
    assert extractor.identity.endswith("torch-fidelity 0.4.0")
    grey = byte_images(7)
    features, logits = extractor.features(grey, batch_size=3)
    assert features.shape == (7, 12)
    assert logits.shape == (7, 8 if choice == "inception" else 0)
    assert torch.equal(features, extractor.features(grey.repeat(1, 3, 1, 1))[0])
    assert extractor.device == torch.device("cpu")


@pytest.mark.parametrize("images", [torch.zeros(2, 3, 4, 4), byte_images(2).repeat(1, 2, 1, 1)])
def test_wrong_images_are_refused(images):
    extractor = FoundationExtractor(Pooled(["2048"]), False, "pooled")
    with pytest.raises(UserError, match=r"take uint8 \[N, 3, H, W\], or one channel"):
        extractor.features(images)


@pytest.mark.parametrize(
    ("has_logits", "missing"),
    [(True, {"class_kl"}), (False, {"class_kl", "inception_score"})],
)
def test_metrics_of_missing_logits_are_left_out(has_logits, missing):
    from gan_lab.metrics.measures import MEASURES

    extractor = FoundationExtractor(Pooled(["a", "b"][: 1 + has_logits]), has_logits, "pooled")
    reals = Reals("noise", "test", byte_images(600, seed=1), byte_images(300, seed=2))
    result = evaluate_images(byte_images(300), reals, extractor, details=True)
    assert set(result["metrics"]) == set(MEASURES) - missing
    assert result["card"]["extractor"] == "pooled"
    assert set(result["left_out"]) == missing
    assert "classes" not in result["details"]
    with pytest.raises(UserError, match=r"class_kl cannot be measured: .* not know the classes"):
        evaluate_images(byte_images(300), reals, extractor, metrics=["class_kl"])
