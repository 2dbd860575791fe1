"""Wrong input that depends on the machine, and defects; tests/errors_table.py has the rest."""

import errno
import os
from pathlib import Path

import pytest
import torch

from gan_lab import RunError
from gan_lab.launch.entry import guarded
from tests.conftest import run_train

NO_GPU = {  # the overrides -> what the message must say where there is no GPU
    "trainer.devices=4096": "trainer.devices=4096, but this machine has",
    "trainer.accelerator=gpu": "no usable GPU",
    "trainer.accelerator=mps": "not available",
    "trainer.strategy=fsdp": "requires a GPU",
}


@pytest.mark.skipif(torch.cuda.is_available(), reason="these are right where there is a GPU")
@pytest.mark.parametrize("line", NO_GPU)
def test_what_takes_a_gpu(line: str, tmp_path: Path, status_and_message) -> None:
    status, message = status_and_message(run_train, tmp_path / "run", line)
    assert NO_GPU[line] in message
    assert status == 2
    assert "Traceback" not in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP])
def test_a_path_that_the_system_refuses(code: int, status_and_message) -> None:
    def refused(*_) -> None:
        raise OSError(code, os.strerror(code), "/some/where")

    status, message = status_and_message(guarded, "generate", refused, ["checkpoint=x", "output=y"])
    expected = f"error: /some/where: {os.strerror(code)}; choose another path\n"
    assert (status, message) == (2, expected)


def test_another_rank_says_what_stopped_it(monkeypatch, status_and_message) -> None:
    def failing(*_) -> None:
        raise RunError("no room")

    monkeypatch.setenv("LOCAL_RANK", "3")
    status, message = status_and_message(guarded, "train", failing, [])
    assert (status, message) == (1, "rank 3: no room\n")


@pytest.mark.parametrize("program", ["train", "generate"])
def test_a_defect_of_ours_keeps_its_traceback(program: str) -> None:
    def broken(*_) -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        guarded(program, broken, [])
