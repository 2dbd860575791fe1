"""Train the feature network that the metrics measure with; minutes on two cores.

  python -m gan_lab.train_features data=fashion_mnist
  python -m gan_lab.train_features data=mnist output=mnist.safetensors seed=1

Writes the weights and, beside them, a card (JSON) with their sha256, data, seed, accuracy and
command. MNIST's network comes with gan_lab; one for other data is kept below data.root, where the
metrics find it, unless output= names a file.
"""

import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab import UserError
from gan_lab.launch.entry import program


def train_features(config: DictConfig, folder: Path, overrides: list[str]) -> dict[str, Any]:
    """Train, test and write one feature network; return its card."""
    import torch

    from gan_lab.launch.schema import build
    from gan_lab.metrics.card import library_versions
    from gan_lab.metrics.feature_training import accuracy, fit
    from gan_lab.metrics.features import find_weights, save_extractor
    from gan_lab.metrics.storage import content_hash

    settings, output = check_settings(config), check_output(config.output)
    for key, value in {"holdout": 0, "subset": None}.items():
        # all of it, whatever part a GAN may train on
        OmegaConf.update(config, f"data.{key}", value, force_add=True)
    data = build(config.data, "data")
    if data.num_classes < 2 or len(data.image_shape) != 3:
        raise UserError(
            f"{data.source.name} has no images with classes to learn features from; choose "
            "labelled data, data=mnist for example"
        )
    data.prepare_data()
    images, labels = data.images("train")
    net = fit(images, labels, data.num_classes, **settings)
    card = {
        "data": data.source.name,
        "data_sha256": content_hash(images, labels),
        "image_shape": list(data.image_shape),
        "num_classes": data.num_classes,
        "num_images": len(images),
        "test_accuracy": round(accuracy(net, *data.images("test")), 4),
        **settings,
        "threads": torch.get_num_threads(),  # with others, sums differ in their last bits
        "command": " ".join(["python -m gan_lab.train_features", *overrides]),
        "date": datetime.date.today().isoformat(),
        "versions": library_versions(),
    }
    output = output or find_weights(data)
    card = save_extractor(net, output, card)
    print(f"test accuracy {card['test_accuracy']:.4f}\nwrote {output}")
    return card


def check_settings(config: DictConfig) -> dict[str, Any]:
    """The arguments of `fit`; UserError where one is of the wrong kind or size."""
    from gan_lab.launch.schema import conform

    kinds = {"epochs": int, "batch_size": int, "lr": float, "seed": int}
    settings = {key: conform(config[key], kind, key) for key, kind in kinds.items()}
    least = {"epochs": 1, "batch_size": 2, "seed": 0}
    for key, bound in least.items():
        if settings[key] < bound:
            raise UserError(f"{key}={settings[key]} must be at least {bound}")
    if settings["lr"] <= 0:
        raise UserError(f"lr={settings['lr']} must be above 0; 4e-3 works well")
    return settings


def check_output(output: str | None) -> Path | None:
    """A file's name that ends in .safetensors, in a folder that can be made."""
    if output is None:
        return None
    path = Path(output).expanduser()
    nearest = next(place for place in path.absolute().parents if place.exists())
    if path.suffix != ".safetensors" or path.is_dir() or not nearest.is_dir():
        raise UserError(f"output={output} must be a file FILE.safetensors in a folder, or null")
    return path


main = program("train_features", train_features, __doc__)

if __name__ == "__main__":
    main()
