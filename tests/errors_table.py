"""Wrong inputs to all programs, as data: what is wrong, how it is made, what the message must say.

tests/errors_run.py runs them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests import errors_files as wrong
from tests.errors_files import Maker

PACKAGE = Path(__file__).parents[1] / "gan_lab"
PROGRAMS = sorted(path.stem for path in PACKAGE.glob("[a-z]*.py"))


@dataclass(frozen=True)
class Case:
    """One wrong input. In `given`, HERE, RUN, IMAGES and ROOT stand for paths of its place."""

    program: str
    given: str  # the overrides that are wrong
    says: tuple[str, ...]  # what the message must hold: argument, value, what is allowed, remedy
    wrong: str = "setting"  # what kind of thing is wrong
    make: Maker | None = None
    lacks: tuple[str, ...] = ()  # packages that are not installed
    status: int = 2

    @property
    def name(self) -> str:
        return f"{self.program} {self.wrong}: {self.given}"


SETTINGS = {  # the overrides of `train` -> what the message must say
    "networks=foo": "networks=foo is not an option; use one of: dcgan, dirac, mlp",
    "networks=dcgn": "did you mean dcgan?",
    "experiment=dcgan_mnst": "did you mean dcgan_mnist?",
    "optimizer.generator.lrr=1": "did you mean optimizer.generator.lr?",
    "optimizer.generator.lr=fast": "optimizer.generator.lr='fast' is not a number",
    "optimizer.generator.lr=-1e-3": "optimizer.generator.lr=-0.001 must be 0 (frozen) or more",
    "optimizer.generator.lr=nan": "optimizer.generator.lr=nan is not a finite number",
    "optimizer.generator.betas=[0.5]": "optimizer.generator.betas=[0.5] is not a list of",
    "optimizer.generator.betas=[0.5,1.5]": "of lr=0.002, betas=[0.5, 1.5]",
    "+optimizer.generator.speed=1": "optimizer.generator.speed=1: torch.optim.Adam has no setting",
    "optimizer.generator.fused=fast": "optimizer.generator.fused=fast must be true, false, null",
    "+optimizer.generator.capturable=true trainer.accelerator=cpu": "capturable=true is for steps",
    "data.batch_size=0": "data.batch_size=0 must be a whole number",
    "data.batch_size=many": "data.batch_size",
    "data.batch_size=100000": "data.batch_size=100000",
    "data.image_size=30": "set data.image_size to 32, or use networks=mlp",
    "data.image_size=-28": "data.image_size=-28",
    "data.root=HERE/file": "is a file",
    "data.holdout=5000": "data.holdout=5000",
    "data.classes=[]": "data.classes=[] must be distinct labels of the data set (from 0 to 9)",
    "data.classes=[3,3]": "data.classes=[3, 3] must be distinct labels",
    "data.classes=[10]": "data.classes=[10] must be distinct labels",
    "data.subset=0": "data.subset=0 must be a share",
    "data.num_classes=0": "data.num_classes=0",
    "networks.generator.width=0": "width=0 must be at least 1",
    "networks.generator.latent_dim=1000000000000000000000": "networks.generator: empty()",
    "networks.generator.width=2.5": "networks.generator.width=2.5 is not a whole number",
    "networks.generator.width=true": "networks.generator.width=True is not a whole number",
    "networks.discriminator.norm=layer": "is not one of batch, none",
    "networks=mlp networks.generator.hidden=[]": "hidden=[] must be a list of widths",
    "networks=mlp networks.discriminator.dropout=1": "dropout=1.0 must lie in [0, 1)",
    "penalty.r1.gamma=-1": "gamma=-1.0 must not be negative",
    "penalty.r1.interval=0": "interval=0 must be at least 1",
    "ema.half_life=-5": "ema.half_life=-5",
    "memory_format=channels_first": "is not one of auto, channels_last, contiguous",
    "compile=fast": "compile='fast' is not true or false or one of default, reduce-overhead",
    "compile=[true]": "compile=[True] is not true or false or one of default",
    "schedule.hold=2": "schedule.hold=2.0 must lie in [0, 1]",
    "n_critic=0": "n_critic=0 must be at least 1",
    "n_critic=two": "n_critic='two' is not a whole number",
    "clip.generator=-1": "clip.generator=-1.0 must be a positive",
    "seed=x": "seed='x' is not a whole number",
    "seed=-1": "seed=-1",
    "seed=5000000000": "must lie between 0 and",
    "name=a/b": "name=a/b",
    "name=..": "name=..",
    "trainer.gradient_clip_val=0.5": "clip.generator",
    "trainer.gradient_clip_algorithm=norm": "clip.generator",
    "trainer.min_steps=3": "trainer.min_epochs",
    "trainer.accumulate_grad_batches=4": "data.batch_size",
    "trainer.max_steps=100": "trainer.max_epochs",
    "trainer.max_epochs=0": "trainer.max_epochs=0 must be at least 1",
    "trainer.max_epochs=many": "trainer.max_epochs='many' is not a whole number",
    "trainer.max_epoch=3": "did you mean trainer.max_epochs?",
    "trainer.max_time=5": "trainer.max_time=5 is not",
    "trainer.max_time=soon": "DD:HH:MM:SS",
    "trainer.max_time=00:00:00:00": "must be longer than 0 seconds",
    "trainer.max_time={minutes:-1}": "must be longer than 0 seconds",
    "trainer.devices=0": "trainer.devices=0",
    "trainer.accelerator=cpu trainer.devices=[0]": "use trainer.devices=1",
    "trainer.precision=7": "trainer.precision=7 must be one of auto, bf16-mixed",
    "trainer.precision=16-mixed": "use bf16-mixed",
    "trainer.strategy=magic": "trainer: You selected an invalid strategy name",
    "trainer.strategy=ddp_spawn": "use ddp",
    "trainer.num_nodes=2": "MASTER_ADDR",
    "trainer.limit_train_batches=0": "trainer.limit_train_batches=0 must be at least 1",
    "trainer.limit_train_batches=0.001": "use at least",
    "trainer.overfit_batches=-1": "trainer: You have passed invalid value -1",
    "trainer.log_every_n_steps=0": "trainer.log_every_n_steps=0",
    "trainer.barebones=true": "benchmarks/step.py",
    "trainer.default_root_dir=x": "hydra.run.dir=DIR",
    "penalty=null": "the name of an option, not null",
    "penalty.r1=null": "names no class",
    "networks.generator=null": "names no class",
    "optimizer.generator=null": "names no class",
    "callbacks.samples.num_images=0": "num_images=0",
    "callbacks.checkpoints.minutes=0": "minutes=0.0 must be positive",
    "callbacks.evaluation.metrics=[fidd]": "callbacks.evaluation.metrics=['fidd'] must be of",
    "callbacks.evaluation.monitor=kid": "monitor=kid must be one of ['fid']",
    "learning_rate=3": "learning_rate is not a setting",
    "networks": "is not of the form key=value",
    "objective.real_target=2": "real_target",
    "penalty=gradient_penalty penalty.gradient_penalty.weight=-1": "weight=-1.0 must not be",
    "networks.discriminator.packing=0": "packing=0 must be at least 1",
    "networks.discriminator.packing=5": "must be a multiple of networks.discriminator.packing=5",
    "networks.discriminator.minibatch_std=1": "minibatch_std=1 must be at least 2",
    "penalty=[r1": "quote it for the shell",
}
COMBINATIONS = {
    "networks=mlp_points networks.generator.image_shape=[2]": "networks.generator makes images of",
    "data=ring": "use networks=mlp_points",
    "data=ring networks=mlp_points data.num_classes=7": "data.num_classes=7 must be 8",
    "data=ring networks=mlp_points data.source.sigma=0": "data.source.sigma=0.0 must be a number",
    "data=ring networks=mlp_points data.image_shape=[3]": "must be [2], a point's",
    "data=stacked_mnist data.channels=2": "data.channels=2 cannot be made of the 3 channels",
    "data=fake data.image_shape=[1,28,32]": "must follow from data.channels and data.image_size",
    "data=emnist data.source.split=capitals": "must be one of balanced, byclass, bymerge",
    "data=emnist data.num_classes=10": "data.num_classes=10 must be 26",
    "conditioning=conditional_batch_norm networks=mlp": "has no batch norm; use",
    "conditioning=projection networks.discriminator.packing=2": "use packing=1 or",
    "conditioning=infogan networks.generator.latent_dim=3": "leaves no noise beside a code of 3",
    "conditioning=infogan conditioning.code.categorical=[1]": "must be a list of numbers above 1",
    "conditioning=infogan conditioning.code=null": "the generator has no code to recover",
    "objective=wasserstein penalty=none": "use penalty=gradient_penalty",
    "networks.discriminator.norm=batch": "use networks.discriminator.norm=none, or penalty=none",
    "networks=resnet penalty=weight_clipping": "use networks.discriminator.spectral_norm=false",
    "data=fake data.source.num_images=0": "data.source.num_images=0 must be a whole number",
}
TARGETS = {
    "networks.generator._target_=os.system": "is not trusted",
    "networks.generator._target_=torch.os.system": "is no class of",
    "networks.generator._target_=torch.hub.load_state_dict_from_url": "is no class of",
    "networks.generator._target_=gan_lab.networks.dcgan.Maker": "cannot be imported",
    "networks.generator._target_=numpy.random.Generator": "add trusted=[numpy] to the command line",
    "trusted=[no_such_package]": "trusted=[no_such_package]: there is no package no_such_package",
    "trusted=../here": "must be a list of packages",
}
LONG = "x" * 300
FOLDERS = {
    "resume=5": "does not exist",
    "resume=HERE/nowhere": "does not exist; give the folder of a run",
    "resume=HERE/empty": "has no config.yaml",
    "resume=HERE/file": "is no folder",
    "resume=RUN seed=7": "seed: 0 -> 7",
    "resume=RUN trainer.max_epochs=1": "trainer.max_epochs: 2 -> 1",
    "hydra.run.dir=HERE/file/run": "is a file; choose another",
    "hydra.run.dir=/proc/run": "cannot be written",
    "hydra.run.dir=RUN": "already holds a run",
    f"resume={LONG}": "File name too long; choose another path",
    f"hydra.run.dir={LONG}": "File name too long; choose another path",
}


def settings(program: str, lines: dict[str, str], kind: str = "setting") -> list[Case]:
    make = wrong.several(wrong.file("file", b"x"), wrong.folder("empty"))
    return [Case(program, given, (says,), kind, make) for given, says in lines.items()]


MNIST = "data=mnist data.root=HERE/data"
FOLDER = "data=image_folder data.source.folder=HERE/pictures data.root=HERE"
CELEBA = "data=celeba data.root=HERE data.holdout=0"
PARTITION = "celeba/list_eval_partition.txt"
NOT_OFFICIAL = ("is not the official file", "delete it")


def data(given: str, what: str, says: tuple[str, ...], *makers: Maker) -> Case:
    return Case("train", given, says, f"data: {what}", wrong.several(*makers))


DATA = [
    data(
        MNIST,
        "empty",
        ("expected 10008 bytes, found 0", *NOT_OFFICIAL),
        wrong.labels(lambda x: b""),
    ),
    data(MNIST, "truncated", ("found 5004", *NOT_OFFICIAL), wrong.labels(lambda x: x[:5004])),
    data(
        MNIST, "too long", ("expected 10008 bytes, found more",), wrong.labels(lambda x: x + b"0")
    ),
    data(MNIST, "altered", ("expected sha256", *NOT_OFFICIAL), wrong.labels(lambda x: x)),
    data(
        MNIST,
        "a damaged .gz",
        ("cannot be read", "replace it"),
        wrong.file("data/t10k-labels-idx1-ubyte.gz", wrong.bomb(10_008)[:20]),
    ),
    data(
        MNIST,
        "a small .gz that unpacks to 30 MB",
        ("expected 10008 bytes, found more",),
        wrong.file("data/t10k-labels-idx1-ubyte.gz", wrong.bomb()),
    ),
    data(
        "data=kmnist data.root=HERE",
        "of another shape",
        ("expected header", *NOT_OFFICIAL),
        wrong.file("KMNIST/raw/t10k-labels-idx1-ubyte", bytes(10_008)),
    ),
    data(
        "data=cifar10 data.root=HERE",
        "random bytes",
        ("expected md5", *NOT_OFFICIAL),
        wrong.random_bytes("cifar-10-batches-py/test_batch"),
    ),
    data(CELEBA, "missing", ("CelebA cannot be fetched", "set data.root")),
    data(
        CELEBA,
        "a list of other columns",
        ("cannot be read",),
        wrong.file(PARTITION, b"1.jpg 0 0\n"),
        wrong.folder("celeba/img_align_celeba"),
    ),
    data(
        CELEBA,
        "an empty list",
        ("lists no pictures",),
        wrong.file(PARTITION),
        wrong.folder("celeba/img_align_celeba"),
    ),
    data(
        CELEBA,
        "a list that leaves the folder",
        ("lists ../../key, which is no plain file name",),
        wrong.file(PARTITION, b"../../key 0\n2.jpg 2\n"),
        wrong.folder("celeba/img_align_celeba"),
    ),
    data(FOLDER, "no folder", ("data.source.folder=", "is no folder", "set it to a folder")),
    data(FOLDER, "an empty folder", ("holds no pictures",), wrong.folder("pictures")),
    data(
        f"{FOLDER} data.num_classes=3",
        "one class where three are expected",
        ("data.num_classes=3, but the pictures", "to 0 to leave classes out"),
        wrong.pictures("pictures/cat/a.png", "pictures/cat/b.png"),
    ),
    data(
        f"{FOLDER} data.batch_size=1",
        "a text that is called .png",
        ("1 of 3 files cannot be read",),
        wrong.pictures("pictures/a.png", "pictures/c.png"),
        wrong.file("pictures/b.png", b"text"),
    ),
    data(
        f"{FOLDER} data.batch_size=1",
        "a picture that claims 60,000 x 60,000 pixels",
        ("cannot be read as pictures", "decompression bomb"),
        wrong.pictures("pictures/a.png", "pictures/c.png"),
        wrong.file("pictures/b.png", wrong.huge_png()),
    ),
    data(
        f"{FOLDER} data.source.test=1.5",
        "a share above 1",
        ("data.source.test=1.5 must be a share",),
        wrong.pictures("pictures/a.png"),
    ),
]

CHECKPOINT = "checkpoint=HERE/x.ckpt output=HERE/a.npz"
UNREADABLE = ("x.ckpt cannot be read as a gan_lab checkpoint", "give a .ckpt file that gan_lab")


def checkpoint(what: str, says: tuple[str, ...], make: Maker, program: str = "generate") -> Case:
    given = CHECKPOINT if program == "generate" else CHECKPOINT.replace(".npz", ".json")
    return Case(program, given, says, f"checkpoint: {what}", make)


FOREIGN = ("x.ckpt is not a gan_lab checkpoint",)
UNBUILT = ("x.ckpt holds no generator that can be built", "give one that train wrote")
LINEAR = {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}
LINEAR_WEIGHTS = {f"generator_ema.{k}": v for k, v in torch.nn.Linear(1, 1).state_dict().items()}


def nested(depth: int) -> list[Any]:
    tree: list[Any] = []
    for _ in range(depth):
        tree = [tree]
    return tree


def endless() -> dict[str, Any]:
    tree: dict[str, Any] = {}
    tree["inside"] = tree
    return tree


CHECKPOINTS = [
    *(checkpoint(f"cut at {k}/10", UNREADABLE, wrong.cut(k / 10)) for k in range(10)),
    checkpoint("random bytes", UNREADABLE, wrong.random_bytes("x.ckpt")),
    checkpoint("a text", UNREADABLE, wrong.file("x.ckpt", b"<html>")),
    checkpoint("one tensor", FOREIGN, wrong.checkpoint(lambda content: torch.zeros(3))),
    checkpoint("without a config", FOREIGN, wrong.without("config")),
    checkpoint("without weights", FOREIGN, wrong.without("state_dict")),
    checkpoint(
        "version 99",
        ("has format version 99", "reads 1 to"),
        wrong.with_entry("format_version", 99),
    ),
    checkpoint(
        "version 'new'", ("has format version new",), wrong.with_entry("format_version", "new")
    ),
    checkpoint("a text as config", ("names no generator",), wrong.with_entry("config", "dcgan")),
    checkpoint("a list as config", ("names no generator",), wrong.with_entry("config", [1])),
    checkpoint(
        "no weights in it", ("do not fit its own config",), wrong.with_entry("state_dict", {})
    ),
    checkpoint("a wider network", ("do not fit its own config",), wrong.with_generator(width=8)),
    checkpoint(
        "of another architecture",
        ("has no setting", "it takes latent_dim"),
        wrong.with_generator(_target_="gan_lab.networks.mlp.Generator"),
    ),
    checkpoint(
        "a network that there is not",
        ("cannot be imported",),
        wrong.with_generator(_target_="gan_lab.networks.dcgan2.Generator"),
    ),
    checkpoint("a factory", UNBUILT, wrong.with_generator(_partial_=True)),
    checkpoint(
        "a number as a setting",
        ("its key 1 must be a text", "give a config of named settings"),
        wrong.checkpoint(wrong.changing_generator(lambda node: {**node, 1: 2})),
    ),
    checkpoint(
        "a layer for a generator",
        UNBUILT,
        wrong.checkpoint(
            lambda content: {
                **wrong.changing_generator(lambda node: LINEAR)(content),
                "state_dict": LINEAR_WEIGHTS,
            }
        ),
    ),
    checkpoint(
        "a layer on a device that there is not",
        ("networks.generator: ", "use smaller or other values"),
        wrong.checkpoint(wrong.changing_generator(lambda node: {**LINEAR, "device": "tpu9"})),
    ),
    checkpoint(
        "latents of 10^30 numbers",
        ("networks.generator: ", "use smaller or other values"),
        wrong.with_generator(latent_dim=10**30),
    ),
    checkpoint("a list as weights", FOREIGN, wrong.with_entry("state_dict", [1])),
    checkpoint("a list as progress", FOREIGN, wrong.with_entry("progress", [1])),
    checkpoint("weights without a name", UNBUILT, wrong.with_entry("state_dict", {5: 1})),
    *(
        checkpoint(what, ("levels deep", "give a flatter config"), wrong.with_data(tree), program)
        for program in ("generate", "evaluate")
        for what, tree in {"200 lists in one another": nested(200), "endless": endless()}.items()
    ),
    checkpoint("random bytes", UNREADABLE, wrong.random_bytes("x.ckpt"), "evaluate"),
    checkpoint("cut at 5/10", UNREADABLE, wrong.cut(0.5), "evaluate"),
    checkpoint(
        "version 99", ("has format version 99",), wrong.with_entry("format_version", 99), "evaluate"
    ),
    Case(
        "train",
        "resume=HERE/old",
        ("its config cannot be read",),
        "run: a broken config.yaml",
        wrong.run_with("config.yaml", "a: ["),
    ),
    Case(
        "train",
        "resume=HERE/old",
        ("its config cannot be read",),
        "run: a list as config.yaml",
        wrong.run_with("config.yaml", "- a"),
    ),
    Case(
        "train",
        "resume=HERE/old",
        ("its config cannot be read",),
        "run: a broken overrides.yaml",
        wrong.run_with("overrides.yaml", "- a"),
    ),
    Case(
        "train",
        "resume=HERE/old",
        ("last.ckpt", "cannot be read as a gan_lab checkpoint"),
        "run: its only checkpoint cut at 5/10",
        wrong.several(wrong.run_with("name", ""), wrong.cut(0.5, "old/checkpoints/last.ckpt")),
    ),
    Case(
        "train",
        "resume=HERE/old",
        ("last.ckpt does not fit its config", "put the run's own checkpoint there"),
        "run: a checkpoint of another architecture",
        wrong.run_with_checkpoint(wrong.widen),
    ),
    Case(
        "train",
        "resume=HERE/old",
        ("last.ckpt does not fit its config", "its progress must hold images_seen"),
        "run: a checkpoint without progress",
        wrong.run_with_checkpoint(lambda content: {**content, "progress": {}}),
    ),
]

GENERATE = {
    "": "checkpoint= is missing",
    "checkpoint=HERE/nowhere output=HERE/a.npz": "does not exist; give a .ckpt file",
    "checkpoint=HERE/empty output=HERE/a.npz": "has no checkpoints/last.ckpt",
    "checkpoint=RUN": "output= is missing",
    "checkpoint=RUN/config.yaml output=HERE/a.npz": "cannot be read as a gan_lab checkpoint",
    "checkpoint=RUN output=HERE/a.npz num_images=0": "num_images=0 must be a whole number",
    "checkpoint=RUN output=HERE/a.npz num_images=many": "num_images=many must be a whole number",
    "checkpoint=RUN output=HERE/a.npz batch_size=-1": "batch_size=-1 must be a whole number",
    "checkpoint=RUN output=HERE/a.npz seed=-1": "seed=-1 must be a whole number",
    "checkpoint=RUN output=HERE/a.npz truncation=0": "truncation=0 must be a positive number",
    "checkpoint=RUN output=HERE/a.npz labels=7": "labels=7: this generator is unconditional",
    "checkpoint=RUN output=HERE/a.npz code=[7]": "this generator has no code; leave code out",
    "checkpoint=RUN output=HERE/a.npz device=tpu9": "device=tpu9",
    "checkpoint=RUN output=HERE/file/a.npz": "cannot be written",
    "checkpoint=RUN output=HERE/a.jpg": "has an unknown ending",
    f"checkpoint={LONG} output=HERE/a.npz": "File name too long; choose another path",
    f"checkpoint=RUN output={LONG}": "File name too long; choose another path",
    "checkpoint=RUN output=RUN": "is a folder with files in it",
    "checkpoint=RUN output=HERE/a.npz num_image=3": "did you mean num_images",
}
SMALL = "data=fake data.source.num_images=160 data.holdout=32 data.root=ROOT output=HERE/a.json"


def images(what: str, says: tuple[str, ...], make: Maker, given: str = SMALL) -> Case:
    return Case("evaluate", f"images=HERE/x.npz {given}", says, f"images: {what}", make)


RING = "data=ring output=HERE/a.json"
NO_ARRAY = ("has no readable array `images`", "give an .npz that generate wrote")
NO_FILE = ("x.npz is no .npz file", "give an .npz that generate wrote")
GREY = np.zeros((20, 28, 28, 1), np.uint8)
IMAGE_FILES = [
    images("missing", ("does not exist; give an .npz file",), wrong.folder("empty")),
    images("a text", NO_FILE, wrong.file("x.npz", b"no archive")),
    images("random bytes", NO_FILE, wrong.random_bytes("x.npz")),
    images("empty", NO_FILE, wrong.file("x.npz")),
    images("another name", NO_ARRAY, wrong.arrays("x.npz", pictures=GREY)),
    images(
        "pickled objects", NO_ARRAY, wrong.arrays("x.npz", images=np.array([{}] * 20, dtype=object))
    ),
    images("claims petabytes", NO_ARRAY, wrong.npz_claiming("x.npz", (10**9, 10**3, 10**3, 3))),
    images("claims more than it holds", NO_ARRAY, wrong.npz_claiming("x.npz", (100, 28, 28, 1))),
    images(
        "floats with NaN",
        ("must be uint8",),
        wrong.arrays("x.npz", images=np.full((20, 28, 28, 1), np.nan)),
    ),
    images("no image", ("holds uint8 [0, 28, 28, 1]",), wrong.arrays("x.npz", images=GREY[:0])),
    images(
        "of another size",
        ("must be uint8",),
        wrong.arrays("x.npz", images=np.zeros((20, 9, 9, 1), np.uint8)),
    ),
    images("too few", ("too few",), wrong.arrays("x.npz", images=GREY[:3])),
]
EVALUATE = {
    "": "give checkpoint= (a .ckpt file or a run folder) or images=FILE.npz",
    "checkpoint=RUN images=IMAGES": "and not both",
    f"images=IMAGES {SMALL} metrics=[fidd]": "unknown metrics ['fidd']",
    f"images=IMAGES {SMALL} split=train": "split=train must be one of test, validation",
    f"images=IMAGES {SMALL} extractor=vgg": "extractor=vgg must be one of own, inception, clip",
    f"images=IMAGES {SMALL} recovery=true": "it needs checkpoint=",
    f"images=IMAGES {SMALL} seed=-1": "seed=-1 must be a whole number",
    f"images=IMAGES {SMALL} device=tpu9": "device=tpu9 is not to be had here",
    "images=IMAGES output=HERE/x.txt": "must be named FILE.json",
    "images=IMAGES output=HERE/file/x.json": "cannot be written",
    "checkpoint=RUN num_images=2": "num_images=2 must be a whole number of at least 10",
    "images=IMAGES data=fake data.root=HERE/empty": "make it with `python -m gan_lab",
}
FEATURES = {
    "data=fake epochs=0": "epochs=0 must be at least 1",
    "data=fake batch_size=1": "batch_size=1 must be at least 2",
    "data=fake lr=0": "lr=0.0 must be above 0",
    "data=fake lr=fast": "lr='fast' is not a number",
    "data=fake seed=-1": "seed=-1 must be at least 0",
    "data=fake output=HERE/x.pt": "must be a file FILE.safetensors",
    "data=fake output=HERE/file/x.safetensors": "must be a file FILE.safetensors",
    "data=ring": "has no images with classes",
    "data=fake data.num_classes=1": "has no images with classes",
    "data=fake data.root=HERE/file": "is a file",
}
DOCTOR = {
    "": "run= is missing; give the folder of a run",
    "run=HERE/nowhere": "run=HERE/nowhere does not exist; give the folder",
    "run=HERE/empty": "run=HERE/empty has no config.yaml; give the folder",
    "run=HERE/file": "run=HERE/file is no folder; give the folder of a run",
    "run=RUN output=HERE/x.txt": "output=HERE/x.txt must be named FILE.json",
    "run=RUN output=HERE/file/x.json": "cannot be written below HERE/file; choose another place",
}
BENCH_ZOO = {  # `output` is empty, so nothing is found finished
    "table=gone output=HERE/out": "table=gone is not an option; use one of: conditional, data_size",
    "output=HERE/file/out": "output=HERE/file/out cannot be written below HERE/file",
    "output=HERE/out only=[gone]": "only=['gone'] must be of the table's ['dcgan_mnist'",
    "output=HERE/out table.seeds=[]": "table.seeds=[] must be different whole numbers, from 0 up",
    "output=HERE/out table.seconds=0": "table.seconds=0.0 must be above 0, or null for epochs",
    "output=HERE/out table.rank_by=beauty": "table.rank_by=beauty must be one of table.metrics",
    "output=HERE/out table.metrics=[fad]": "unknown metrics ['fad']; choose among fid",
    "output=HERE/out jobs=0": "jobs=0 must be at least 1, or null",
    "output=HERE/out threads=many": "threads",
    "output=HERE/out train=false document=null": "holds no finished run of this table",
    "output=HERE/out table.recipes.lsgan_mnist=['experiment=gone']": "experiment=gone is not an",
}
COMPARE = {
    "": "runs= is missing or empty; give run folders",
    "runs=[]": "runs= is missing or empty; give run folders",
    "runs=HERE/nowhere": "HERE/nowhere does not exist; give run folders",
    "runs=[RUN,HERE/empty]": "HERE/empty holds no run that train made",
    "runs=HERE/file": "HERE/file is no folder",
    "runs=RUN by=worst": "by=worst must be one of best, last",
    "runs=RUN samples=-1": "samples=-1 must be a whole number of at least 0",
    "runs=RUN output=HERE/x.txt": "output=HERE/x.txt must be named FILE.html",
    "runs=RUN output=HERE/file/x.html": "cannot be written below HERE/file; choose another place",
}
BENCHMARK = {
    "": "task= is missing; it takes one of speedrun, step, scaling",
    "task=race": "task=race must be one of speedrun, step, scaling",
}
SPACE = "+sweep.space.optimizer.generator.lr"
SWEEP = {
    "experiment=dcgan_mnst": "did you mean dcgan_mnist?",
    "sweep=learning_rate": "did you mean learning_rates?",
    "overrides=fast": "overrides=fast must be a list of key=value",
    'overrides=["optimizer.generator.lr=1"]': "is what sweep.space varies; leave it out",
    'overrides=["optimizer.generator.lrr=1"]': "did you mean optimizer.generator.lr?",
    'overrides=["resume=RUN"]': "resume=RUN is the search's own business; leave it out",
    'overrides=["trusted=[os]"]': "only the command line can say it; add trusted=[...] there",
    'overrides=["--config-dir=HERE"]': "--config-dir=HERE names no setting; give a key as in",
    "+sweep.space.resume.choices=[a,b]": "sweep.space.resume is the search's own business",
    'sweep=penalty overrides=["penalty=r2"]': "penalty.r1.gamma is a setting of another option",
    "sweep=penalty +sweep.space.seed=3": "sweep.space.seed=3 must be {low: 1e-4",
    "+sweep.space.seed.choices=[]": "sweep.space.seed.choices=[] must be a list of different",
    "+sweep.space.seed.choices=[1,1]": "must be a list of different values",
    "+sweep.space.networks.generator.widht.choices=[8,16]": "is not a setting",
    f"{SPACE}.high=1e-5": "low=0.0001 must be below high=1e-05",
    f"{SPACE}.low=0": "log=True with low=0 is no range of factors; low must be above 0",
    f"{SPACE}.low=slow": "sweep.space.optimizer.generator.lr.low=slow must be a number",
    f"{SPACE}.steps=1": "steps=1 must be a whole number of at least 2",
    f"{SPACE}.hihg=1": "lr.hihg=1 must be {low: 1e-4",
    "sweep.objectives.metric=least": "must map values of result.json to one of minimize",
    "sampler=best": "sampler=best must be one of tpe, random, nsgaii, grid",
    "trials=0": "trials=0 must be a whole number of at least 1",
    "jobs=0": "jobs=0 must be a whole number of at least 1",
    "finalists=-1": "finalists=-1 must be a whole number of at least 0",
    "seeds=[1,1]": "seeds=[1, 1] must be different whole numbers",
    "seeds=[0,1]": "seeds=[0, 1]: the trials are trained with seed=0, and what chose a finalist",
    "heartbeat=0": "heartbeat=0 must be a number above 0",
    "grace=1": "grace=1 must be at least twice heartbeat=10.0",
    "prune=fast": "prune=fast must be null, or have its settings",
    "prune.percentile=100": "prune.percentile=100 must be between 0 and 100, or null",
    "prune.verdicts=[mode_colapse]": "did you mean mode_collapse?",
    "study=a/b": "study=a/b must be of letters",
    "output=HERE/file/study": "output=HERE/file/study cannot be written",
    "output=RUN": "output=RUN holds a run, not a study",
    "storage=here": "storage=here is no database's URL; give postgresql+psycopg://",
    "storage=nosuch://host/base": "is no database's URL; give postgresql+psycopg://",
    "storage=sqlite://": "storage=sqlite:// would be lost with the process; give sqlite:///FILE",
}
NO_SERVER = "storage=postgresql+psycopg://me:secret@127.0.0.1:1/base"
STORAGES = [
    Case(
        "sweep", NO_SERVER, ("me@127.0.0.1:1/base cannot be used", "see that"), "server", status=1
    ),
    Case("sweep", NO_SERVER, ("gan_lab[postgresql]",), "package", lacks=("psycopg",)),
    Case("sweep", "", ("gan_lab[search]", "optuna is missing"), "package", lacks=("optuna",)),
]
PACKAGES = [
    Case("train", "logger=wandb", ("pip install 'gan_lab[wandb]'",), "package", lacks=("wandb",)),
    Case(
        "train", "logger=mlflow", ("pip install 'gan_lab[mlflow]'",), "package", lacks=("mlflow",)
    ),
    Case(
        "evaluate",
        f"images=IMAGES {SMALL} extractor=clip",
        ("extractor=clip needs the package torch-fidelity", "pip install 'gan_lab[fidelity]'"),
        "package",
        lacks=("torch_fidelity",),
    ),
]
EVERYWHERE = {  # for every program that there is
    "colour=red": "colour is not a setting",
    "colour": "'colour' is not of the form key=value",
    "trusted=[no_such_package]": "there is no package no_such_package",
}

CASES = [
    *settings("train", SETTINGS),
    *settings("train", COMBINATIONS, "combination"),
    *settings("train", TARGETS, "class"),
    *settings("train", FOLDERS, "folder"),
    *DATA,
    *CHECKPOINTS,
    *settings("generate", GENERATE),
    *settings("evaluate", EVALUATE),
    *IMAGE_FILES,
    *settings("train_features", FEATURES),
    *settings("doctor", DOCTOR),
    *settings("bench_zoo", BENCH_ZOO),
    *settings("compare", COMPARE),
    *settings("benchmark", BENCHMARK),
    *settings("sweep", SWEEP),
    *STORAGES,
    *PACKAGES,
    *(case for program in PROGRAMS for case in settings(program, EVERYWHERE)),
]
CASES = list({case.name: case for case in CASES}.values())  # some lines are in two lists
