"""Files hold one idea and functions one step: the sizes of CONTRIBUTING's examples, measured."""

import ast
import statistics

import pytest

from tests.shape import source

LONGEST_FILE, LONGEST_TEST_FILE = 400, 500
LONGEST_FUNCTION, THINK_AT = 50, 30
# Declarations without logic may be long: nobody reads a list of columns from top to bottom.
CALM_SHARE, CALM_LINES = 0.9, 33


def test_no_source_file_is_too_long() -> None:
    modules = source.product() + source.measuring()
    assert modules
    source.none_of(f"{m.name}: {m.lines} lines" for m in modules if m.lines > LONGEST_FILE)


def test_no_test_file_is_too_long() -> None:
    source.none_of(f"{m.name}: {m.lines} lines" for m in source.testing() if m.lines > LONGEST_TEST_FILE)


def test_no_function_is_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    found = sorted(source.functions(source.everything()), key=lambda each: -each.lines)
    long = [f"{each.lines} {each.where}" for each in found if each.lines > THINK_AT]
    with capsys.disabled():
        print(f"\n{len(long)} of {len(found)} functions are longer than {THINK_AT} lines:", *long, sep="\n  ")
    source.none_of(f"{each.where}: {each.lines} lines" for each in found if each.lines > LONGEST_FUNCTION)


def test_most_functions_are_short() -> None:
    lines = [each.lines for each in source.functions(source.product())]
    assert statistics.median(lines) <= 15
    assert sum(count <= CALM_LINES for count in lines) / len(lines) >= CALM_SHARE


def test_every_module_says_what_it_is_for() -> None:
    silent = [m.name for m in source.product() if m.tree.body and not ast.get_docstring(m.tree)]
    source.none_of(silent)
