"""Search for settings: many trainings, the hopeless ones ended early, the best ones repeated.

  python -m gan_lab.sweep experiment=dcgan_mnist sweep=learning_rates
  python -m gan_lab.sweep sweep=penalty jobs=2 'overrides=["trainer.max_time=00:00:01:00"]'

Every trial is a training of its own in runs/NAME/search_STUDY/trial_0007. The same command again
goes on with the study; started several times, also on several machines with one
storage=postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, it works on the same study. Workers may be
killed at any time. study.json says what was found.
"""

from pathlib import Path

from omegaconf import DictConfig

from gan_lab.launch.entry import compose_run, program, search_path


def sweep(config: DictConfig, folder: Path, overrides: list[str]) -> None:
    """Check, search, say where the study is."""
    from gan_lab.launch import trust
    from gan_lab.launch.searching import settings, storage

    storage.require_optuna()
    from gan_lab.launch.searching import studies

    further = [*search_path(), *trust.argument()]
    given = settings.read(config, lambda given: compose_run("train", given)[0])
    typed = [override.removeprefix("training.") for override in overrides]
    studies.search(given, ["python", "-m", "gan_lab.sweep", *typed], further)
    print(f"study: {given.output}")


main = program("sweep", sweep, __doc__, short={"experiment": "training.experiment"})

if __name__ == "__main__":
    main()
