"""Compiled functions: never run stale, wherever their machine code can be kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from apps.domain import compiled

RULE = "from apps.domain import compiled\n\n@compiled.rule\ndef scaled(x):\n    return x * {factor}\n"
LOOP = (
    "from apps.domain import compiled\nfrom apps.domain.rules import scaled\n\n"
    "@compiled.loop\ndef answer(x):\n    return scaled(x)\n"
)
# What numba alone does: its cache looks at the file of the loop and at no other.
ALONE = LOOP.replace("from apps.domain import compiled", "import numba").replace(
    "compiled.loop", "numba.njit(cache=True)"
)
ASK = "from apps.domain.loops import answer; print(answer(3.0))"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a small project with a rule in one file and the loop that uses it in another."""
    domain = tmp_path / "apps" / "domain"
    domain.mkdir(parents=True)
    (tmp_path / "apps" / "__init__.py").touch()
    (domain / "__init__.py").touch()
    shutil.copy(compiled.__file__, domain / "compiled.py")
    (domain / "rules.py").write_text(RULE.format(factor=2))
    (domain / "loops.py").write_text(LOOP)
    return domain


def ask(project: Path, **environment: str) -> str:
    root = project.parents[1]
    told = {**os.environ, "PYTHONPATH": str(root), "HOME": str(root / "home"), **environment}
    told.pop("NUMBA_CACHE_DIR", None) if "NUMBA_CACHE_DIR" not in environment else None
    done = subprocess.run([sys.executable, "-c", ASK], env=told, cwd=root, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_rule_changed_in_another_file_is_compiled_anew(project: Path) -> None:
    assert ask(project) == "6.0"
    (project / "rules.py").write_text(RULE.format(factor=5))
    assert ask(project) == "15.0"


def test_without_the_folder_of_the_hash_a_changed_rule_runs_stale(project: Path) -> None:
    (project / "loops.py").write_text(ALONE)
    assert ask(project) == "6.0"
    (project / "rules.py").write_text(RULE.format(factor=5))
    assert ask(project) == "6.0", "numba has learned it: this module may go"


def test_machine_code_is_kept_where_it_was_found(project: Path, tmp_path: Path) -> None:
    ask(project)
    kept = sorted((project / "__pycache__" / "compiled").rglob("*.nbc"))
    assert kept
    times = [path.stat().st_mtime_ns for path in kept]
    ask(project)
    assert [path.stat().st_mtime_ns for path in kept] == times, "a second process compiles nothing"


def test_an_operator_may_name_the_place(project: Path, tmp_path: Path) -> None:
    assert ask(project, NUMBA_CACHE_DIR=str(tmp_path / "named")) == "6.0"
    assert list((tmp_path / "named").rglob("*.nbc"))
    assert not (project / "__pycache__" / "compiled").exists()


def test_a_source_folder_that_cannot_be_written_is_no_obstacle(project: Path, tmp_path: Path) -> None:
    # A file where the folder would be stands for a read-only installation: root may write anywhere else.
    (project / "__pycache__").mkdir(exist_ok=True)
    (project / "__pycache__" / "compiled").touch()
    assert ask(project, HOME=str(tmp_path / "mine")) == "6.0"
    assert list((tmp_path / "mine" / ".cache").rglob("*.nbc"))


def test_only_a_few_folders_of_earlier_sources_stay(project: Path) -> None:
    for factor in range(2, 8):
        (project / "rules.py").write_text(RULE.format(factor=factor))
        ask(project)
    kept = list((project / "__pycache__" / "compiled").glob("apps.domain.loops-*"))
    assert len(kept) == compiled.KEPT + 1


def test_the_sources_of_the_loop_are_those_it_imports() -> None:
    names = {path.name for path in compiled.sources("apps.domain.backtests.solo")}
    assert {"solo.py", "kernel.py", "leaving.py", "legs.py", "fills.py"} <= names
    assert "statistics.py" not in names, "what the loop does not use must not make it compile anew"
