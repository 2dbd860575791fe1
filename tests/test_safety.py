"""Malicious files: each ends in one message, and what it wanted to do never happened."""

import gzip
import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from gan_lab import RunError, UserError
from gan_lab.data import formats
from gan_lab.data.cifar10 import CIFAR10
from gan_lab.data.idx import IdxFile, unpack
from gan_lab.data.sources import Unavailable
from gan_lab.evaluate import evaluate
from gan_lab.launch import trust
from gan_lab.launch.entry import guarded
from gan_lab.launch.schema import build
from gan_lab.train import train
from gan_lab.training import checkpoint as checkpoints
from tests.conftest import run_generate, sampled, tiny


class Malice:
    """Makes a file where it is unpickled with code."""

    def __init__(self, canary: Path, call: Callable[..., Any] = os.system):
        self.canary, self.call = canary, call

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        command = f"touch {self.canary}"
        if self.call is exec:
            return exec, (f"open({str(self.canary)!r}, 'w').close()",)
        return self.call, (command if self.call is os.system else ["touch", str(self.canary)],)


def plain_pickle(path: Path, evil: Malice, content: dict[str, Any]) -> None:
    path.write_bytes(pickle.dumps({**content, "progress": evil}))


def legacy(path: Path, evil: Malice, content: dict[str, Any]) -> None:
    torch.save({**content, "progress": evil}, path, _use_new_zipfile_serialization=False)


def modern(path: Path, evil: Malice, content: dict[str, Any]) -> None:
    torch.save({**content, "progress": evil}, path)


def modified(path: Path, evil: Malice, content: dict[str, Any]) -> None:
    """A sound file whose pickle was replaced afterwards."""
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, pickle.dumps(evil) if name.endswith("data.pkl") else data)


def whole_module(path: Path, evil: Malice, content: dict[str, Any]) -> None:
    """A pickled network, which needs its class to run."""
    network = torch.nn.Linear(2, 2)
    network.hook = evil  # type: ignore[assignment]
    torch.save(network, path)


KINDS = [plain_pickle, legacy, modern, modified, whole_module]


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def content_of(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def test_the_malice_is_real(canary: Path, tmp_path: Path) -> None:
    """Without our care each of these files would do its work: the tests below prove something."""
    for kind in KINDS[:4]:
        path = tmp_path / kind.__name__
        kind(path, Malice(canary), {})
        if kind is plain_pickle:
            pickle.loads(path.read_bytes())
        else:
            torch.load(path, weights_only=False)
        assert canary.exists()
        canary.unlink()


@pytest.mark.parametrize("call", [os.system, subprocess.Popen, exec], ids=lambda c: c.__name__)
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_a_malicious_checkpoint_runs_nothing(
    kind, call, canary: Path, finished_run: Path, tmp_path: Path, status_and_message
) -> None:
    kind(tmp_path / "evil.ckpt", Malice(canary, call), content_of(finished_run))
    given = f"checkpoint={tmp_path / 'evil.ckpt'}"
    for program in (run_generate, lambda *a: guarded("evaluate", evaluate, list(a))):
        output = tmp_path / ("a.npz" if program is run_generate else "a.json")
        status, message = status_and_message(program, given, f"output={output}")
        assert status == 2
        assert "cannot be read as a gan_lab checkpoint" in message
        assert not output.exists()
    assert not canary.exists()


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_a_run_with_a_malicious_checkpoint_resumes_nothing(
    kind, canary: Path, finished_run: Path, tmp_path: Path, status_and_message
) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "overrides.yaml"):
        (folder / name).write_text((finished_run / name).read_text())
    kind(folder / "checkpoints" / "last.ckpt", Malice(canary), content_of(finished_run))
    status, message = status_and_message(guarded, "train", train, [f"resume={folder}"])
    assert status == 2
    assert "last.ckpt" in message
    assert not canary.exists()


# What a config inside a file might ask for. The first ones lie inside allowed packages.
TARGETS: dict[str, dict[str, Any]] = {
    "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler": {
        "entrypoint": "touch",
        "args": ["CANARY"],
        "env": {},
        "stdout": None,
        "stderr": None,
        "local_rank_id": 0,
        "numa_options": None,
    },
    "torch.optim.optimizer.torch.os.system": {"command": "touch CANARY"},
    "torch.serialization._open_file": {"name": "CANARY", "mode": "w"},
    "torch.utils.tensorboard.SummaryWriter": {"log_dir": "CANARY"},
    "torch.hub.load": {"repo_or_dir": "HERE", "source": "local", "model": "evil"},
    "torch.hub.download_url_to_file": {"url": "file:///etc/hostname", "dst": "CANARY"},
    "torch.hub.load_state_dict_from_url": {"url": "file:///etc/hostname", "model_dir": "CANARY"},
    "torch.load": {"f": "EVIL", "weights_only": False},
    "torch.save": {"obj": 1, "f": "CANARY"},
    "torch.utils.cpp_extension.load": {"name": "evil", "sources": ["EVIL"]},
    "torch.utils.model_zoo.load_url": {"url": "file:///etc/hostname", "model_dir": "CANARY"},
    "torch.distributed.FileStore": {"file_name": "CANARY", "world_size": 1},
    "torchvision.datasets.utils.download_url": {"url": "file:///etc/hostname", "root": "CANARY"},
    "torchvision.datasets.FakeData": {"size": 1},
    "torchvision.datasets.MNIST": {"root": "CANARY", "download": True},
    "pytorch_lightning.utilities.cloud_io._load": {"path_or_url": "EVIL"},
    "gan_lab.data.images.os.system": {"command": "touch CANARY"},
    "gan_lab.launch.runs.write_text": {"path": "CANARY", "text": "x"},
    "gan_lab.data.sources.pip_download": {"requirement": "evil", "folder": "CANARY"},
    "os.system": {"command": "touch CANARY"},
    "subprocess.Popen": {"args": ["touch", "CANARY"]},
    "builtins.exec": {"_args_": ["open('CANARY', 'w')"]},
    "gan_lab_evil.Evil": {},
    "torchevil.Evil": {},
    "evil.Generator": {},
}


@pytest.fixture
def evil_module(tmp_path: Path, canary: Path, monkeypatch) -> Path:
    """A module `evil` that could be imported, and would leave the canary."""
    touch = f"open({str(canary)!r}, 'w').close()\n"
    for name in ("evil", "torchevil", "gan_lab_evil", "hubconf"):
        code = f"{touch}\nclass Evil: pass\n\ndef evil(): {touch}"
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    modern(tmp_path / "evil.pt", Malice(canary), {})
    return tmp_path


def filled(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: filled(child, folder) for key, child in value.items()}
    if isinstance(value, list):
        return [filled(child, folder) for child in value]
    if not isinstance(value, str):
        return value
    value = value.replace("CANARY", str(folder / "canary")).replace("HERE", str(folder))
    return value.replace("EVIL", str(folder / "evil.pt"))


@pytest.mark.parametrize("target", sampled(TARGETS, 15))
def test_a_config_makes_only_what_is_trusted(target: str, evil_module: Path, canary: Path) -> None:
    node = {"_target_": target, **filled(TARGETS[target], evil_module)}
    for evil in (node, {"_target_": "torch.nn.Sequential", "modules": [node]}):
        with pytest.raises(UserError, match=r"not trusted|no class of|be imported|no setting"):
            build(evil, "networks.generator")
    assert not canary.exists()


@pytest.mark.parametrize("target", sampled(TARGETS, 15))
@pytest.mark.parametrize("place", ["networks", "data", "source"])
def test_a_config_in_a_checkpoint_makes_even_less(
    target: str, place: str, evil_module: Path, canary: Path, finished_run, status_and_message
) -> None:
    content = content_of(finished_run)
    node = {"_target_": target, **filled(TARGETS[target], evil_module)}
    config = content["config"]
    if place == "networks":
        config["networks"]["generator"] = node
    elif place == "data":
        config["data"] = node
    else:
        config["data"]["source"] = node
    config["trusted"] = ["evil", "os", "subprocess"]  # a file cannot say so
    path = evil_module / "evil.ckpt"
    torch.save(content, path)
    output = evil_module / "a.json"
    given = [f"checkpoint={path}", f"output={output}", "num_images=10"]
    status, message = status_and_message(guarded, "evaluate", evaluate, given)
    assert status == 2, message
    assert "_target_=" in message
    assert not canary.exists()
    assert not output.exists()


ELSEWHERE = ["torch.optim.Adam", "pytorch_lightning.loggers.CSVLogger", "gan_lab.training.ema.EMA"]


@pytest.mark.parametrize("target", sampled(ELSEWHERE, 4))
def test_a_checkpoint_names_neither_optimizers_nor_loggers(
    target: str, finished_run: Path, tmp_path: Path, status_and_message
) -> None:
    for place in ("networks", "data"):
        content = content_of(finished_run)
        node = content["config"][place]
        (node["generator"] if place == "networks" else node)["extra"] = {"_target_": target}
        torch.save(content, tmp_path / "evil.ckpt")
        given = [f"checkpoint={tmp_path / 'evil.ckpt'}", f"output={tmp_path / 'a.npz'}"]
        status, message = status_and_message(run_generate, *given)
        assert (status, f"_target_={target} is not trusted" in message) == (2, True)


def test_an_interpolation_in_a_checkpoint_is_not_followed(
    canary: Path, finished_run: Path, tmp_path: Path, status_and_message
) -> None:
    hidden = f"{{_target_: subprocess.Popen, args: [touch, {canary}]}}"
    for value in (f"${{oc.create:'{hidden}'}}", "${oc.env:HOME}"):
        content = content_of(finished_run)
        content["config"]["networks"]["generator"] = {
            "_target_": "torch.nn.Linear",
            "in_features": 1,
            "out_features": 1,
            "device": value,
        }
        torch.save(content, tmp_path / "evil.ckpt")
        given = [f"checkpoint={tmp_path / 'evil.ckpt'}", f"output={tmp_path / 'a.npz'}"]
        status, message = status_and_message(run_generate, *given)
        assert status == 2
        assert "must be a plain value" in message
    assert not canary.exists()


MINE = """
from gan_lab.networks.mlp import Discriminator as Parent, Generator as First


class Generator(First):
    pass


class Discriminator(Parent):
    pass
"""


@pytest.fixture
def my_package(tmp_path: Path, monkeypatch) -> list[str]:
    """A package of the user's with networks; overrides that choose them."""
    (tmp_path / "my_nets").mkdir()
    (tmp_path / "my_nets" / "__init__.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)
    players = ("generator", "discriminator")
    chosen = [f"networks.{p}._target_=my_nets.{p.capitalize()}" for p in players]
    return ["networks=mlp", *chosen, *(f"networks.{p}.hidden=[8]" for p in players)]


@pytest.mark.slow
def test_the_command_line_trusts_a_package(
    my_package: list[str], tmp_path: Path, status_and_message
) -> None:
    given = [f"hydra.run.dir={tmp_path / 'run'}", *tiny()[:7], *my_package]
    given.append("trainer.limit_train_batches=2")
    status, message = status_and_message(guarded, "train", train, given)
    assert status == 2
    assert "_target_=my_nets.Generator is not trusted" in message
    assert "add trusted=[my_nets] to the command line" in message
    assert not (tmp_path / "run").exists()
    assert guarded("train", train, [*given, "trusted=[my_nets]"]) == 0
    # Neither the run's config nor its checkpoint passes the trust on.
    assert "trusted" not in (tmp_path / "run" / "overrides.yaml").read_text()
    source = [f"checkpoint={tmp_path / 'run'}", f"output={tmp_path / 'a.npz'}"]
    status, message = status_and_message(run_generate, *source)
    assert (status, "add trusted=[my_nets]" in message) == (2, True)
    assert run_generate(*source, "trusted=[my_nets]") == 0
    more = [f"resume={tmp_path / 'run'}", "trainer.max_epochs=3"]
    assert status_and_message(guarded, "train", train, more)[0] == 2
    assert guarded("train", train, [*more, "trusted=my_nets"]) == 0


SELF_TRUST = {
    "a key": "trusted: [my_nets]",
    "Hydra's list": "hydra: {overrides: {task: ['++trusted=[my_nets]']}}",
    "both": "trusted: [my_nets]\nhydra: {overrides: {task: ['trusted=[my_nets]']}}",
}


def through_hydra(conf: Path, text: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Train with an experiment `evil` of this text in the folder `conf`."""
    (conf / "experiment").mkdir(parents=True)
    (conf / "experiment" / "evil.yaml").write_text(f"# @package _global_\n{text}\n")
    command = [sys.executable, "-m", "gan_lab.train", "--config-dir", str(conf), "experiment=evil"]
    command += [f"hydra.run.dir={conf.parent / 'run'}", *tiny()[:7], *overrides]
    path = f"{Path(__file__).parents[1]}:{conf.parent}"
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize("text", SELF_TRUST.values(), ids=SELF_TRUST)
def test_a_file_cannot_trust(text: str, my_package: list[str], tmp_path: Path) -> None:
    done = through_hydra(tmp_path / "more", text, *my_package)
    assert done.returncode == 2
    assert "is not trusted" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_trust_reaches_a_run_through_hydra(my_package: list[str], tmp_path: Path) -> None:
    more = ["trusted=[my_nets]", "trainer.limit_train_batches=2", *my_package]
    done = through_hydra(tmp_path / "more", "seed: 3", *more)
    assert done.returncode == 0, done.stderr
    assert "trusted" not in (tmp_path / "run" / "overrides.yaml").read_text()


def test_the_history_of_a_run_cannot_trust(
    my_package: list[str], finished_run: Path, tmp_path: Path, status_and_message
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    text = (finished_run / "config.yaml").read_text()
    found = text.replace("gan_lab.networks.dcgan.Generator", "my_nets.Generator")
    assert found != text
    (folder / "config.yaml").write_text(found)
    history = "command: ['++trusted=[my_nets]']\nresumed: [['trusted=[my_nets]']]\n"
    (folder / "overrides.yaml").write_text(history)
    status, message = status_and_message(guarded, "train", train, [f"resume={folder}"])
    assert (status, "my_nets.Generator is not trusted" in message) == (2, True)
    assert "my_nets" not in sys.modules


# What Hydra makes by itself of what a file says: (key, the rest of the line).
BY_HYDRA = {
    "callbacks": "{callbacks: {x: {_target_: evil.Evil}}}",
    "hidden": "{callbacks: {x: '${oc.create:{_target_:evil.Evil}}'}}",
    "launcher": "{launcher: {_target_: evil.Evil}}",
    "sweeper": "{sweeper: {_target_: hydra_plugins.a.b.os.system}}",
    "job_logging": "{job_logging: {filters: {x: {'()': evil.Evil}}}}",
    "ext": "{job_logging: {filters: {x: {'()': logging.Filter, name: 'ext://evil.x'}}}}",
    "env_set": "{job: {env_set: {LD_PRELOAD: evil.so}}}",
}


@pytest.mark.parametrize("name", BY_HYDRA)
@pytest.mark.slow
def test_what_hydra_makes_is_checked(
    name: str, evil_module: Path, canary: Path, monkeypatch, status_and_message
) -> None:
    (evil_module / "more" / "experiment").mkdir(parents=True)
    experiment = evil_module / "more" / "experiment" / "evil.yaml"
    experiment.write_text(f"# @package _global_\nhydra: {BY_HYDRA[name]}\n")
    given = ["--config-dir", str(evil_module / "more"), "experiment=evil", "data=fake"]
    given.append(f"hydra.run.dir={evil_module / 'run'}")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    called = []
    for more in ([], ["-m"]):
        monkeypatch.setattr(sys, "argv", ["gan-train", *given, *more])
        status, message = status_and_message(
            guarded, "train", lambda *_: called.append(1), [*given, *more]
        )
        assert status == 2, message
        assert "is not trusted" in message or "give it on the command line" in message
    assert not canary.exists()
    assert not called


def test_hydra_makes_what_the_command_trusts(tmp_path: Path, canary: Path, monkeypatch) -> None:
    code = "from hydra.experimental.callback import Callback\n\nclass Mine(Callback):\n"
    code += f"    def on_job_start(self, **_): open({str(canary)!r}, 'w').close()\n"
    (tmp_path / "my_callbacks.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    given = ["--config-dir", str(tmp_path), "+hydra.callbacks.x._target_=my_callbacks.Mine"]
    given += ["trusted=[my_callbacks]", f"hydra.run.dir={tmp_path / 'run'}"]
    monkeypatch.setattr(sys, "argv", ["gan-train", *given])
    called = []
    assert guarded("train", lambda *_: called.append(1), given) == 0
    assert (called, canary.exists()) == ([1], True)


def test_a_pickled_job_is_not_run_again(tmp_path: Path, monkeypatch, status_and_message) -> None:
    given = ["--experimental-rerun", str(tmp_path / "config.pickle")]
    monkeypatch.setattr(sys, "argv", ["gan-train", *given])
    status, message = status_and_message(guarded, "train", train, given)
    assert (status, "runs what a pickle says" in message) == (2, True)


def test_trust_ends_with_the_program(my_package: list[str]) -> None:
    node = {"_target_": "my_nets.Generator", "latent_dim": 2, "image_shape": [1, 4, 4]}
    with trust.from_command(["a=1", "trusted=[my_nets]"]) as rest:
        assert rest == ["a=1"]
        assert build(node, "networks.generator").latent_dim == 2
    with pytest.raises(UserError, match="is not trusted"):
        build(node, "networks.generator")


@pytest.mark.parametrize("value", ["[]", "[os system]", "../x", "[a-b]", "[no_such_package]"])
def test_trust_names_packages_that_exist(value: str) -> None:
    with pytest.raises(UserError, match=r"trusted="), trust.from_command([f"trusted={value}"]):
        pass


# --- data files and archives ------------------------------------------------------------------


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tar_of(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return path


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_an_archive_unpacks_nowhere(make, tmp_path: Path) -> None:
    """Members that point out of the folder are never asked for: only ours is, into memory."""
    (tmp_path / "in").mkdir()
    outside = {"../canary": b"x", f"{tmp_path}/canary": b"x", "a/../../canary": b"x"}
    archive = make(tmp_path / "in" / "archive", {**outside, "ours": b"content"})
    assert formats.read_member(archive, "ours", limit=100) == b"content"
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "archive"]


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_a_member_is_bounded(make, tmp_path: Path) -> None:
    archive = make(tmp_path / "archive", {"zeros": bytes(20_000_000)})
    assert archive.stat().st_size < 100_000
    with pytest.raises(ValueError, match="expected 1000 bytes, found more"):
        formats.read_member(archive, "zeros", limit=1000)


@pytest.mark.parametrize("target", ["/etc/hostname", "../secret", "secret"])
def test_a_link_is_no_file(target: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    archive = tar_of(tmp_path / "archive", {"secret": b"other"}, {"ours": target})
    with pytest.raises(ValueError, match="is no plain file"):
        formats.read_member(archive, "ours", limit=100)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(50)])
def test_a_damaged_archive_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged archive|no member"):
        formats.read_member(tmp_path / "archive", "ours", limit=100)


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    for make in (zip_of, tar_of):
        with pytest.raises(ValueError, match="has no member ours"):
            formats.read_member(make(tmp_path / make.__name__, {}), "ours", limit=100)


@pytest.mark.parametrize("members", [{}, {"cifar-10-batches-py/data_batch_1": bytes(2**25 + 1)}])
def test_cifar10_takes_nothing_from_a_bad_archive(
    members: dict[str, bytes], tmp_path: Path, monkeypatch
) -> None:
    """Even where its checksum were forged."""
    from gan_lab.data import cifar10

    monkeypatch.setattr(cifar10, "download", lambda url, target: tar_of(target, members))
    monkeypatch.setattr(cifar10, "checksum", lambda path, like: like)
    with pytest.raises(RunError, match=r"cannot be fetched(.|\n)*damaged"):
        CIFAR10(tmp_path).prepare()
    assert not list((tmp_path / "cifar-10-batches-py").glob("[!.]*"))


def test_a_gzip_bomb_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(Unavailable, match="expected 18 bytes, found more"):
        unpack(tmp_path / "x.gz", IdxFile((10,)), tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data.replace(b"numpy", b"numpz"),
        lambda data: data.replace(b"K\x06\x85", b"\x8a\x08" + b"\xff" * 7 + b"\x7f\x85"),
        lambda data: b"\x80\x04]" + b"]" * 10_000,
        lambda data: b"",
        lambda data: b"(lp0\n0R.",
    ],
)
def test_a_damaged_pickle_is_an_unpickling_error(change) -> None:
    whole = pickle.dumps({"data": np.zeros(6, np.uint8)}, 2)
    assert change(whole) != whole
    with pytest.raises(pickle.UnpicklingError):
        formats.unpickle_arrays(io.BytesIO(change(whole)))


LYING = [
    (2**60).to_bytes(8, "little"),  # a header of an exabyte
    (2).to_bytes(8, "little") + b"{}",
    b'\x3b\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[9999999],"data_offsets":[0,4]}}',
    b"",
]


@pytest.mark.parametrize("content", LYING)
def test_a_safetensors_file_with_a_lying_header(content: bytes, tmp_path: Path) -> None:
    import hashlib
    import json

    from gan_lab.metrics.features import load_extractor

    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    card = {"sha256": hashlib.sha256(content).hexdigest(), "image_shape": [1, 28, 28]}
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="does not hold a feature network"):
        load_extractor(path)
    with pytest.raises((SafetensorError, KeyError)):
        load_tensors(content)["a"]


def test_a_pickled_array_in_an_npz_is_not_read(canary: Path, tmp_path: Path) -> None:
    from gan_lab.launch.image_files import read_images

    np.savez(tmp_path / "x.npz", images=np.array([Malice(canary)], dtype=object))
    with pytest.raises(UserError, match="has no readable array"):
        read_images(tmp_path / "x.npz")
    assert not canary.exists()


@pytest.mark.parametrize(("size", "refused"), [(3_000_000, True), (100_000, False)])
def test_an_npz_that_unpacks_to_too_much_is_refused(
    size: int, refused: bool, tmp_path: Path
) -> None:
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros(size, np.uint8))
    if not refused:
        return formats.refuse_bomb(tmp_path / "x.npz", most=1_000_000)
    with pytest.raises(ValueError, match=r"would unpack to 3,000,\d+ bytes"):
        formats.refuse_bomb(tmp_path / "x.npz", most=1_000_000)
    return None


def test_an_npz_of_noise_is_no_bomb(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.random.default_rng(0).bytes(3_000_000))
    formats.refuse_bomb(tmp_path / "x.npz", most=1_000_000)


def test_our_own_checkpoints_hold_no_classes(finished_run: Path) -> None:
    with zipfile.ZipFile(finished_run / "checkpoints" / "last.ckpt") as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        wanted = {(m, n) for m, n in globals_of(archive.read(name))}
    modules = {module.split(".")[0] for module, _ in wanted}
    assert modules <= {"torch", "collections", "__builtin__", "builtins"}
    assert checkpoints.load(finished_run / "checkpoints" / "last.ckpt")["progress"]


def globals_of(data: bytes) -> set[tuple[str, str]]:
    """What a pickle asks for, found without running it."""
    import pickletools

    found = set()
    for operation, argument, _ in pickletools.genops(data):
        assert operation.name != "STACK_GLOBAL"  # torch writes protocol 2
        if operation.name == "GLOBAL":
            module, name = str(argument).split(" ")
            found.add((module, name))
    return found


def test_tensorboard_listens_to_this_machine_only() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    lines = [line for line in makefile.splitlines() if "/tensorboard " in line]
    assert lines
    assert all("--host 127.0.0.1" in line for line in lines)
