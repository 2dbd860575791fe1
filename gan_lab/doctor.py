"""Say what a training run suffers from, since when, by which figures, and what to try.

  python -m gan_lab.doctor run=runs/dcgan_mnist/TIME
  python -m gan_lab.doctor run=runs/mlp_mnist/TIME output=health.json

Reads a finished, a failed or a running run. Prints the verdicts (docs/doctor.md explains them),
writes them as JSON, and draws one page: the curves that carry the evidence, and the samples at the
moment of the gravest verdict.
"""

from pathlib import Path

from omegaconf import DictConfig

from gan_lab.launch.entry import program


def doctor(config: DictConfig, folder: Path, overrides: list[str]) -> None:
    """Examine, print, write."""
    from gan_lab.launch import diagnosing

    diagnosing.check(config)
    examination = diagnosing.examine(Path(config.run))
    print(diagnosing.text(examination))
    diagnosing.write(Path(config.output), examination)
    print(f"wrote {config.output} and {Path(config.output).with_suffix('.png')}")


main = program("doctor", doctor, __doc__)

if __name__ == "__main__":
    main()
