"""Imports point one way: the contracts of pyproject.toml, as `make check` runs them."""

import subprocess
import sys
import tomllib

import pytest

from tests.shape.source import ROOT

COMMAND = (sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())")


@pytest.fixture(scope="module")
def report() -> "subprocess.CompletedProcess[str]":
    return subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_every_contract_is_kept(report: "subprocess.CompletedProcess[str]") -> None:
    assert report.returncode == 0, report.stdout + report.stderr


def test_every_contract_was_looked_at(report: "subprocess.CompletedProcess[str]") -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert f"{len(contracts)} kept, 0 broken" in report.stdout


def test_every_app_is_on_a_floor() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (apps,) = (contract for contract in contracts if contract["id"] == "apps")
    assert apps["exhaustive"], "an app without a floor must fail"
