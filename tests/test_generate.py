"""Images from a checkpoint: files, options, independence of the batch size, messages."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import run_generate


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def images_of(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return file["images"]


def test_npz(finished_run: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "a.npz"
    assert run_generate(f"checkpoint={finished_run}", f"output={output}", "num_images=70") == 0
    with np.load(output, allow_pickle=False) as file:
        assert file["images"].shape == (70, 28, 28, 1)
        assert file["images"].dtype == np.uint8
        assert file["labels"].dtype == np.int64
        assert file["labels"].tolist() == [-1] * 70
    assert [p.name for p in output.parent.iterdir()] == ["a.npz"]


def test_grid_and_folder(finished_run: Path, tmp_path: Path) -> None:
    source = f"checkpoint={finished_run / 'checkpoints' / 'last.ckpt'}"
    assert run_generate(source, f"output={tmp_path / 'grid.png'}", "num_images=16") == 0
    assert picture(tmp_path / "grid.png").shape == (4 * 30 + 2, 4 * 30 + 2)
    assert run_generate(source, f"output={tmp_path / 'pngs'}", "num_images=12") == 0
    names = sorted(p.name for p in (tmp_path / "pngs").iterdir())
    assert names == [f"{i:02d}.png" for i in range(12)]
    assert run_generate(source, f"output={tmp_path / 'a.npz'}", "num_images=12") == 0
    first = picture(tmp_path / "pngs" / "07.png")
    assert np.array_equal(first, images_of(tmp_path / "a.npz")[7, :, :, 0])


def test_independent_of_batch_size_and_count(finished_run: Path, tmp_path: Path) -> None:
    def draw(name: str, *options: str) -> np.ndarray:
        output = tmp_path / f"{name}.npz"
        assert run_generate(f"checkpoint={finished_run}", f"output={output}", *options) == 0
        return images_of(output).astype(int)

    many = draw("many", "num_images=300", "seed=3")
    few = draw("few", "num_images=41", "seed=3", "batch_size=7")
    assert np.abs(many[:41] - few).max() <= 1
    assert np.abs(many[:41] - draw("other", "num_images=41", "seed=4")).max() > 1
    assert many.std(axis=0).max() > 0


def test_best_is_preferred_to_last(finished_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    content = torch.load(finished_run / "checkpoints" / "last.ckpt", weights_only=True)
    torch.save(content, folder / "last.ckpt")
    for key, value in content["state_dict"].items():
        if key.startswith("generator_ema.") and value.is_floating_point():
            value.zero_()
    torch.save(content, folder / "best.ckpt")
    assert run_generate(f"checkpoint={tmp_path / 'run'}", f"output={tmp_path / 'a.npz'}") == 0
    assert set(np.unique(images_of(tmp_path / "a.npz"))) <= {127, 128}  # tanh(0)


def test_samples_of_the_run_are_the_first_images_of_its_seed(finished_run, tmp_path) -> None:
    grid = tmp_path / "grid.png"
    assert run_generate(f"checkpoint={finished_run}", f"output={grid}", "num_images=64") == 0
    last = sorted((finished_run / "samples").glob("*.png"))[-1]
    assert np.array_equal(picture(grid), picture(last))


BAD = {
    "": "checkpoint= is missing",
    "checkpoint=nowhere": "checkpoint=nowhere does not exist",
    "checkpoint=RUN": "output= is missing",
    "checkpoint=RUN output=a.npz num_images=0": "num_images=0 must be a whole number",
    "checkpoint=RUN output=a.npz num_images=many": "num_images=many must be a whole number",
    "checkpoint=RUN output=a.npz batch_size=-1": "batch_size=-1 must be a whole number",
    "checkpoint=RUN output=a.npz seed=-1": "seed=-1 must be a whole number",
    "checkpoint=RUN output=a.npz truncation=0": "truncation=0 must be a positive number",
    "checkpoint=RUN output=a.npz labels=7": "labels=7: this generator is unconditional",
    "checkpoint=RUN output=a.npz device=tpu9": "device=tpu9",
    "checkpoint=RUN/config.yaml output=a.npz": "cannot be read as a gan_lab checkpoint",
    "checkpoint=RUN/samples output=a.npz": "has no checkpoints/last.ckpt",
    "checkpoint=RUN output=RUN/config.yaml/a.npz": "cannot be written",
    "checkpoint=RUN output=a.npz num_image=3": "did you mean num_images",
    "checkpoint=RUN output=a.jpg": "has an unknown ending",
    "checkpoint=RUN output=RUN": "is a folder with files in it",
    "checkpoint=RUN output=a.npz truncation=true": "truncation=True must be a positive number",
    "checkpoint=5 output=a.npz": "checkpoint=5 does not exist",
    "checkpoint=RUN output=a.npz device=null": "device=None computes nothing",
}


@pytest.mark.parametrize("line", BAD, ids=lambda line: line or "nothing")
def test_wrong_input(line: str, finished_run, tmp_path, monkeypatch, status_and_message) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = line.replace("RUN", str(finished_run)).split()
    status, message = status_and_message(run_generate, *arguments)
    assert status == 2
    assert BAD[line] in message
    assert not list(tmp_path.iterdir())


EVIL = [
    {"_target_": "torch.hub.load_state_dict_from_url", "url": "file:///nowhere"},
    {"_target_": "torch.os.system", "command": "true"},
    {"_target_": "torch.utils.data.DataLoader", "dataset": [1]},
    {"_target_": "torch.nn.Sequential", "modules": [{"_target_": "builtins.exec"}]},
    None,
    ["_target_"],
]


@pytest.mark.parametrize("node", EVIL, ids=str)
def test_a_checkpoint_names_networks_and_nothing_else(
    node, finished_run, tmp_path, status_and_message
) -> None:
    content = torch.load(finished_run / "checkpoints" / "last.ckpt", weights_only=True)
    content["config"]["networks"]["generator"] = node
    torch.save(content, tmp_path / "evil.ckpt")
    arguments = [f"checkpoint={tmp_path / 'evil.ckpt'}", f"output={tmp_path / 'a.npz'}"]
    status, message = status_and_message(run_generate, *arguments)
    assert status == 2
    assert "Traceback" not in message
    assert not (tmp_path / "a.npz").exists()
