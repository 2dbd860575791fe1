"""Wrong input to `train`: one message with what is allowed, status 2, nothing written."""

from pathlib import Path

import pytest

from tests.conftest import run_train

BAD = {  # the overrides -> what the message must say
    "networks=foo": "networks=foo is not an option; use one of: dcgan, mlp",
    "networks=dcgn": "did you mean dcgan?",
    "experiment=dcgan_mnst": "did you mean dcgan_mnist?",
    "optimizer.generator.lrr=1": "did you mean optimizer.generator.lr?",
    "optimizer.generator.lr=fast": "optimizer.generator.lr='fast' is not a number",
    "optimizer.generator.lr=-1e-3": "optimizer.generator.lr=-0.001 must be 0 (frozen) or more",
    "optimizer.generator.lr=nan": "optimizer.generator.lr=nan is not a finite number",
    "optimizer.generator.betas=[0.5]": "optimizer.generator.betas=[0.5] is not a list of",
    "optimizer.generator.betas=[0.5,1.5]": "optimizer.generator: Invalid beta",
    "+optimizer.generator.speed=1": "has no setting 'speed'",
    "data.batch_size=0": "data.batch_size=0 must be a whole number",
    "data.batch_size=many": "data.batch_size",
    "data.batch_size=100000": "data.batch_size=100000",
    "data.image_size=30": "set data.image_size to 32, or use networks=mlp",
    "data.image_size=-28": "data.image_size=-28",
    "data.root=FILE": "is a file",
    "data.holdout=5000": "data.holdout=5000",
    "networks.generator.width=0": "width=0 must be at least 1",
    "networks.generator.width=2.5": "networks.generator.width=2.5 is not a whole number",
    "networks.generator.width=true": "networks.generator.width=True is not a whole number",
    "networks.discriminator.norm=layer": "is not one of batch, none",
    "penalty.r1.gamma=-1": "gamma=-1.0 must not be negative",
    "penalty.r1.interval=0": "interval=0 must be at least 1",
    "ema.half_life=-5": "ema.half_life=-5",
    "schedule.hold=2": "schedule.hold=2.0 must lie in [0, 1]",
    "n_critic=0": "n_critic=0 must be at least 1",
    "n_critic=two": "n_critic='two' is not a whole number",
    "clip.generator=-1": "clip.generator=-1.0 must be a positive",
    "seed=x": "seed='x' is not a whole number",
    "seed=-1": "seed=-1",
    "name=a/b": "name=a/b",
    "name=..": "name=..",
    "trainer.gradient_clip_val=0.5": "clip.generator",
    "trainer.gradient_clip_algorithm=norm": "clip.generator",
    "trainer.min_steps=3": "trainer.min_epochs",
    "trainer.accumulate_grad_batches=4": "data.batch_size",
    "trainer.max_steps=100": "trainer.max_epochs",
    "trainer.max_epochs=0": "trainer.max_epochs=0 must be at least 1",
    "trainer.max_epochs=many": "trainer.max_epochs='many' is not a whole number",
    "trainer.max_time=5": "trainer.max_time=5 is not",
    "trainer.max_time=soon": "DD:HH:MM:SS",
    "trainer.devices=4": "trainer.devices=4, but this machine has",
    "trainer.devices=0": "trainer.devices=0",
    "trainer.accelerator=gpu": "no usable GPU",
    "trainer.precision=7": "trainer.precision=7 is not one of",
    "trainer.strategy=magic": "trainer: You selected an invalid strategy name",
    "trainer.limit_train_batches=0": "trainer.limit_train_batches=0 must be at least 1",
    "trainer.barebones=true": "benchmarks/step.py",
    "trainer.max_time=00:00:00:00": "must be longer than 0 seconds",
    "trainer.max_time={minutes:-1}": "must be longer than 0 seconds",
    "trainer.limit_train_batches=0.001": "use at least",
    "penalty=null": "the name of an option, not null",
    "penalty.r1=null": "names no class",
    "networks.generator=null": "names no class",
    "optimizer.generator=null": "names no class",
    "networks.generator._target_=torch.os.system": "is no class of",
    "networks.generator._target_=torch.hub.load_state_dict_from_url": "is no class of",
    "seed=5000000000": "must lie between 0 and",
    "resume=5": "does not exist",
    "trainer.default_root_dir=x": "hydra.run.dir=DIR",
    "trainer.precision=16-mixed": "use bf16-mixed",
    "trainer.num_nodes=2": "MASTER_ADDR",
    "trainer.strategy=fsdp": "requires a GPU",
    "trainer.strategy=ddp_spawn": "use ddp",
    "trainer.devices=[0]": "trainer: `devices`",
    "trainer.accelerator=mps": "not available",
    "trainer.overfit_batches=-1": "trainer: You have passed invalid value -1",
    "trainer.log_every_n_steps=0": "trainer.log_every_n_steps=0",
    "trainer.max_epoch=3": "did you mean trainer.max_epochs?",
    "callbacks.samples.num_images=0": "num_images=0",
    "callbacks.checkpoints.minutes=0": "minutes=0.0 must be positive",
    "networks.generator._target_=os.system": "is not trusted",
    "resume=NOWHERE": "does not exist; give the folder of a run",
    "resume=EMPTY": "has no config.yaml",
    "learning_rate=3": "learning_rate is not a setting",
    "networks": "is not of the form key=value",
    "penalty=[r1": "quote it for the shell",
    "hydra.run.dir=FILE/run": "is a file; choose another",
    "hydra.run.dir=/proc/run": "cannot be written",
}


@pytest.mark.parametrize("line", BAD)
def test_wrong_input(line: str, tmp_path: Path, monkeypatch, status_and_message) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    line, expected = line, BAD[line]
    for name in ("FILE", "EMPTY", "NOWHERE"):
        line = line.replace(name, str(tmp_path / name.lower()))
    status, message = status_and_message(run_train, tmp_path / "run", line)
    assert expected in message
    assert status == 2
    assert "Traceback" not in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file"]


@pytest.mark.parametrize("program", ["train", "generate"])
def test_a_defect_of_ours_keeps_its_traceback(program: str) -> None:
    from gan_lab.launch.entry import guarded

    def broken(*_) -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        guarded(program, broken, [])
