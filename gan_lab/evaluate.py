"""Measure generated images against real ones, with the protocol that produced each number.

  python -m gan_lab.evaluate checkpoint=runs/dcgan_mnist/TIME output=evaluation.json
  python -m gan_lab.evaluate images=digits.npz data=mnist 'metrics=[fid,kid]'

Prints a table (value, interval, floor of real images, ceiling of useless ones), writes it as JSON
with its protocol card, and draws one picture. Of data whose modes are known (points, stacked
digits) the modes are counted instead. two_sample=true trains fresh critics, recovery=true searches
latents; both take minutes.
"""

from pathlib import Path

from omegaconf import DictConfig

from gan_lab.launch.entry import program


def evaluate(config: DictConfig, folder: Path, overrides: list[str]) -> None:
    """Measure, print, write."""
    from gan_lab.launch import judging

    subject = judging.prepare(config, overrides)
    result = judging.measure(subject, config)
    print(judging.table(result))
    judging.write(Path(config.output), subject, result)
    print(f"wrote {config.output} and {Path(config.output).with_suffix('.png')}")


main = program("evaluate", evaluate, __doc__)

if __name__ == "__main__":
    main()
