"""Set runs side by side: one page that says what was learnt, and how sure that is.

  python -m gan_lab.compare 'runs=[runs/dcgan_mnist/A,runs/dcgan_mnist/B]'
  python -m gan_lab.compare runs=runs/dcgan_mnist/sweep_TIME output=sweep.html

Takes run folders, folders with runs below them (a multirun), and folders of studies. Prints a
leaderboard and writes FILE.html, FILE.json and the pictures in FILE/. Runs that differ in the seed
alone are one row; runs that were measured differently are not ranked (docs/compare.md).
"""

from pathlib import Path

from omegaconf import DictConfig

from gan_lab.launch.entry import program


def compare(config: DictConfig, folder: Path, overrides: list[str]) -> None:
    """Read, print, write."""
    from gan_lab.launch.comparing import gathering, words, writing
    from gan_lab.launch.comparing.report import report_of

    places = gathering.check(config)
    report = report_of(gathering.gather(places), config.by)
    print(words.text(report))
    title = str(config.title or f"Comparison of {', '.join(map(str, places))}")
    written = writing.write(Path(config.output), report, title, config.samples)
    print(f"\nwrote {', '.join(map(str, written))}")


main = program("compare", compare, __doc__)

if __name__ == "__main__":
    main()
