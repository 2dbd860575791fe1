"""Draw images from a trained generator; needs no training data.

  python -m gan_lab.generate checkpoint=runs/dcgan_mnist/TIME output=digits.npz num_images=10000
  python -m gan_lab.generate checkpoint=runs/dcgan_mnist/TIME output=grid.png num_images=64 seed=1

output=FILE.npz holds `images` uint8 [N, H, W, C] and `labels` int64 [N]; FILE.png is one grid; any
other name is a folder of PNGs. Image i of a seed is the same whatever the batch size.
"""

from pathlib import Path

from omegaconf import DictConfig

from gan_lab.launch.entry import program, require


def generate(config: DictConfig, folder: Path, overrides: list[str]) -> None:
    """Load the averaged generator of a checkpoint and write what it draws."""
    from gan_lab.launch import drawing

    source = drawing.find(require(config, "checkpoint", "a .ckpt file or a run folder"))
    output = Path(
        str(require(config, "output", "FILE.npz, FILE.png (a grid) or a folder for PNGs"))
    )
    drawing.check(config, output)
    generator = drawing.load_generator(source, config.device)
    images, labels = drawing.draw(generator, config)
    drawing.write(output, images, labels)
    print(f"wrote {len(images):,} images: {output}")


main = program("generate", generate, __doc__)

if __name__ == "__main__":
    main()
