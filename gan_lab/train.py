"""Train a GAN; with nothing configured, a DCGAN on MNIST for a few minutes.

  python -m gan_lab.train
  python -m gan_lab.train experiment=mlp_mnist trainer.max_time=00:00:05:00

The run folder (runs/NAME/TIME, or hydra.run.dir=DIR) gets sample grids, metrics.csv, TensorBoard
events, checkpoints and result.json; resume=DIR continues a run that was stopped.
"""

from pathlib import Path

from omegaconf import DictConfig

from gan_lab.launch.entry import compose_run, program


def train(config: DictConfig, folder: Path, overrides: list[str]) -> float | None:
    """Fit one run and return its metric, the value that a sweep minimises (None without one).

    FID of images; of points, the modes missed plus the share of samples off all modes.
    """
    from gan_lab.launch import runs
    from gan_lab.launch.fit import fit

    if config.resume is None:
        return fit(runs.new_run(config, folder, overrides))
    folder = Path(str(config.resume))
    run = runs.resumed_run(folder, overrides, lambda given: compose_run("train", given)[0])
    result = runs.read_result(folder)
    if result.get("status") == "finished" and not run.extended:
        print(f"the run is finished ({result['images_seen']:,} images); nothing to resume")
        print(f"run: {folder}")
        return result.get("metric")
    return fit(run)


main = program("train", train, __doc__)

if __name__ == "__main__":
    main()
