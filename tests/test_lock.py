"""The hashed list of packages, how it is made, and what an audit of it says."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
LINE = re.compile(r"([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}")


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    pairs = (line.split(" ")[0].split("==") for line in lines)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


def test_every_line_is_one_version_and_its_hash() -> None:
    lines = [line for line in LOCK.read_text().splitlines() if line[0] != "#"]
    assert len(lines) > 60
    assert all(LINE.fullmatch(line) for line in lines)
    assert "://" not in LOCK.read_text()


def test_lock_and_constraints_agree() -> None:
    locked, constrained = pins(LOCK), pins(ROOT / "constraints.txt")
    assert {"torch", "hydra-core", "pytorch-lightning", "setuptools", "hypothesis"} <= set(locked)
    # pip and what builds the package are not pinned for everybody.
    assert set(locked) - set(constrained) <= {"pip", "setuptools"}
    # Each package that the tests of this commit used is in the lock; tzdata is for Windows.
    assert set(constrained) - set(locked) <= {"tzdata"}
    assert {name: locked[name] for name in locked if name in constrained} == {
        name: version for name, version in constrained.items() if name in locked
    }


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_a_locked_setup_installs_anew(tmp_path: Path) -> None:
    """An environment that is up to date without the lock is not so with it."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()

    def commands(*given: str) -> str:
        command = ["make", "--dry-run", "setup", *given]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    assert "pip install" not in commands()
    said = commands("LOCKED=1")
    assert "--require-hashes --no-build-isolation -r requirements.lock" in said
    assert said.rindex("pip check") > said.rindex("pip install")


def entry(name: str, version: str, **source: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "version": version}, "download_info": source}


def test_a_report_becomes_lines() -> None:
    wheel = {"archive_info": {"hashes": {"sha256": "a" * 64}}, "url": "https://host/b.whl"}
    report = {
        "install": [
            entry("ruamel.yaml_X", "1.0", **wheel),
            entry("gan_lab", "0.1.0", dir_info={"editable": True}, url="file:///work"),
            entry("abc", "2", **wheel),
        ]
    }
    digest = "a" * 64
    expected = [f"abc==2 --hash=sha256:{digest}", f"ruamel-yaml-x==1.0 --hash=sha256:{digest}"]
    assert tool("lock").lines(report) == expected


def test_a_package_without_a_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="evil comes without a sha256"):
        tool("lock").lines({"install": [entry("evil", "1", vcs_info={}, url="git+x")]})


def answer(stdout: str = "", stderr: str = "") -> Any:
    return lambda *_, **__: subprocess.CompletedProcess([], 1, stdout, stderr)


def audited(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(packages)})


def test_an_audit_without_a_network_says_so(monkeypatch) -> None:
    audit = tool("audit")
    monkeypatch.setattr(audit.subprocess, "run", answer(stderr="Traceback\nno route to host"))
    said = audit.main("pip-audit", "requirements.lock")
    assert said.startswith("error: nothing was audited")
    assert "no route to host" in said


def test_an_audit_names_what_is_known(monkeypatch, capsys) -> None:
    audit = tool("audit")
    fault = {"id": "CVE-1", "fix_versions": ["1.1"]}
    bad = {"name": "a", "version": "1.0", "vulns": [fault]}
    good = {"name": "b", "version": "1.0", "vulns": []}
    skipped = {"name": "c", "skip_reason": "not found"}
    monkeypatch.setattr(audit.subprocess, "run", answer(audited(bad, good, skipped)))
    assert "a 1.0: CVE-1, fixed in 1.1" in audit.main("pip-audit", "requirements.lock")
    said = capsys.readouterr().out
    assert "2 packages audited, 1 known" in said
    assert "not audited: c: not found" in said
    monkeypatch.setattr(audit.subprocess, "run", answer(audited(good)))
    assert audit.main("pip-audit", "requirements.lock") is None
