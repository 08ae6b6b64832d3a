"""What runs, what it is asked and what it counts is explained in docs/operations.md."""

import argparse
import ast
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import BaseCommand, get_commands, load_command_class

from apps.ops import invariants, processes
from apps.web import health, metrics
from tests.shape import source
from workers import queues, timetable

DOCUMENT = "docs/operations.md"
OURS = ("apps.", "workers")
# What every command of Django takes is explained by Django.
COMMON = frozenset(BaseCommand().create_parser("manage.py", "any")._option_string_actions)
FACTS = {"workers/listener/process.py": "facts", "workers/sweeper.py": "sweep", "workers/lifecycle.py": "begin_to_beat"}


def words() -> set[str]:
    """Return everything that stands in code quotes in the document, lists of words taken apart."""
    quoted = (source.ROOT / DOCUMENT).read_text().split("`")[1::2]
    return {word for text in quoted for word in (text, *text.replace(",", " ").split())}


def commands() -> list[str]:
    return sorted(name for name, app in get_commands().items() if str(app).startswith(OURS))


def command(name: str) -> BaseCommand:
    return load_command_class(str(get_commands()[name]), name)


def actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the own arguments of a parser and of its subcommands."""
    found = [a for a in parser._actions if not COMMON & set(a.option_strings)]
    for action in list(found):
        if isinstance(action, argparse._SubParsersAction):
            found.remove(action)
            found += [inner for each in action.choices.values() for inner in actions(each)]
    return found


def test_every_command_is_explained_and_no_other() -> None:
    rows = {row for row in source.first_cells(DOCUMENT) if row in get_commands()}
    assert set(commands()) - rows == set()
    assert rows - set(commands()) == set()


@pytest.mark.parametrize("name", commands())
def test_every_command_and_every_option_says_what_it_does(name: str) -> None:
    made = command(name)
    assert len(str(made.help).split()) >= 4
    assert str(made.help).endswith(".")
    silent = [action.dest for action in actions(made.create_parser("manage.py", name)) if not action.help]
    source.none_of(silent)


@pytest.mark.parametrize("name", sorted({"up", "verify", "replay", "timetable", "demo"}))
def test_commands_that_report_do_so_in_json(name: str) -> None:
    parser = command(name).create_parser("manage.py", name)
    assert "--json" in parser._option_string_actions


@pytest.mark.parametrize("word", [*queues.NAMES, *processes.KINDS, *(job.name for job in timetable.JOBS)])
def test_every_process_queue_and_job_is_explained(word: str) -> None:
    assert word in source.first_cells(DOCUMENT)


def test_every_health_check_is_explained() -> None:
    source.none_of(name for name in health.names() if name not in source.first_cells(DOCUMENT))


@pytest.mark.django_db
def test_every_metric_is_explained_and_no_other() -> None:
    found = {family.name for family in metrics.Figures(datetime.now(UTC)).collect()}
    assert "tradingsite_queue_messages" in found, settings.BROKER_URL
    assert {row for row in source.first_cells(DOCUMENT) if row.startswith("tradingsite_")} == found


@pytest.mark.parametrize(("path", "function"), FACTS.items())
def test_every_fact_of_a_process_is_explained(path: str, function: str) -> None:
    tree = ast.parse((source.ROOT / path).read_text())
    (found,) = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == function)
    keys = {k.value for n in ast.walk(found) if isinstance(n, ast.Dict) for k in n.keys if isinstance(k, ast.Constant)}
    assert keys, f"{function} counts nothing any more"
    assert keys - words() == set()


def test_the_metrics_know_the_queues_there_are() -> None:
    assert metrics.QUEUES == queues.NAMES


def test_every_invariant_says_itself_in_a_sentence() -> None:
    assert len({each.id for each in invariants.INVARIANTS}) == len(invariants.INVARIANTS)
    assert all(len(each.name.split()) >= 5 for each in invariants.INVARIANTS)


@pytest.mark.parametrize("name", [path.stem for path in (source.ROOT / "workers/tasks").glob("[a-z]*.py")])
def test_tasks_are_thin(name: str) -> None:
    """At most fifteen lines of statements, and room for arguments of a newer sender."""
    module = import_module(f"workers.tasks.{name}")
    tree = ast.parse(Path(str(module.__file__)).read_text())
    tasks = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.decorator_list]
    assert tasks
    for task in tasks:
        assert task.end_lineno is not None
        assert task.end_lineno - task.lineno <= 16, f"{name}.{task.name} does the work of a service"
        assert task.args.kwarg is not None, f"{name}.{task.name} takes no arguments of a newer sender"


def test_every_module_of_tasks_is_loaded_by_workers() -> None:
    there = {f"workers.tasks.{path.stem}" for path in (source.ROOT / "workers/tasks").glob("[a-z]*.py")}
    assert there == {name for name in settings.CELERY_IMPORTS if name.startswith("workers.tasks.")}
