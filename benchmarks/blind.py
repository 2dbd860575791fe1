"""How close images are for judges that know no classes, whom labels cannot flatter.

  python benchmarks/blind.py RUN ...   5,000 images of each run, against the validation part

FID in 64 principal components of the pixels, and in three untrained copies of the feature network,
whose features have unit variance over the real images (mean over the copies). First come as many
training images: the floor.
"""

import statistics
import sys

import torch
from torch import Tensor, nn

from gan_lab.data.images import to_float
from gan_lab.launch import assemble, hardware
from gan_lab.launch.benchmarking.trials import compose
from gan_lab.launch.drawing import load_generator
from gan_lab.metrics.features import Extractor, FeatureNet
from gan_lab.metrics.fidelity import fid
from gan_lab.training.sampling import generate_images, labels_like

COUNT, COMPONENTS, COPIES = 5000, 64, 3


def untrained(seed: int, real: Tensor) -> Extractor:
    """A feature network as it is before training, its batch norms set by real images."""
    torch.manual_seed(seed)
    net = FeatureNet().train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
            module.eps = 1e-12
    with torch.no_grad():
        for batch in real.split(500):
            net(to_float(batch))
    return Extractor(net, tuple(real.shape[1:]), f"untrained-{seed}")


class Judges:
    """Pixels' components and untrained networks, set by `real` images, against which they judge."""

    def __init__(self, real: Tensor) -> None:
        pixels = flat(real)
        self.mean = pixels.mean(0)
        self.axes = torch.linalg.svd(pixels - self.mean, full_matrices=False).Vh[:COMPONENTS].T
        self.nets = [untrained(seed, real) for seed in range(COPIES)]
        self.real = self.seen(real)

    def seen(self, images: Tensor) -> list[Tensor]:
        components = (flat(images) - self.mean) @ self.axes
        return [components, *(net.features(images)[0] for net in self.nets)]

    def __call__(self, images: Tensor) -> str:
        pixels, *nets = map(fid, self.real, self.seen(images))
        return f"pixels {pixels:.2f}, untrained {statistics.fmean(nets):.4f}"


def flat(images: Tensor) -> Tensor:
    return to_float(images).flatten(1).double()


def main(runs: list[str]) -> None:
    hardware.spare_overhead()
    data = assemble.build_data(compose("dcgan_mnist"))
    data.prepare_data()
    judges = Judges(data.images("validation")[0][:COUNT])
    print(f"training images: {judges(data.images('train')[0][:COUNT])}", flush=True)
    shares = labels_like(data.images("train")[1], COUNT, seed=1)
    for run in runs:
        generator = load_generator(run, "cpu")
        labels = shares if generator.num_classes else None
        images = generate_images(generator, COUNT, seed=1, labels=labels)
        print(f"{run}: {judges(images)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
