"""A search from the command line: what it tells, what it refuses, how it is stopped."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.backtests.models import Study
from tests.backtests import searching
from tests.backtests.searching import begun

pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "walk.csv"
    path.write_text(searching.as_csv(searching.candles()))
    return str(path)


def command(*words: str) -> Any:
    out = StringIO()
    call_command("sweep", *words, stdout=out)
    return json.loads(out.getvalue()) if "--json" in words else out.getvalue()


@pytest.mark.django_db
def test_the_command_tells_the_result_in_json(file: str) -> None:
    words = ("sma_cross", "--candles", file, "--param", "fast=2:20:2", "--param", "slow=10:60:10", "--inline")
    told = command(*words, "--fee", "0.1%", "--objective", "return_pct", "--json", "--all")
    assert (told["state"], told["trials"], told["done"], len(told["all"])) == ("done", 53, 53, 53)
    assert told["conventions"]["fee_rate"] == 0.001
    assert told["best"] == told["top"][0]
    assert told["best"]["value"] == told["best"]["measures"]["return_pct"]
    again = command("--resume", str(told["study"]), "--json")
    assert again["best"] == told["best"]
    assert "search" in command(*words)


@pytest.mark.django_db
def test_the_command_tells_every_mistake(file: str) -> None:
    with pytest.raises(CommandError) as caught:
        command("--candles", file, "--search", "luck", "--fee", "lots")
    assert caught.value.returncode == 2
    assert all(word in str(caught.value) for word in ("strategy", "search: luck", "fee_rate"))
    with pytest.raises(CommandError, match="no parameter of this strategy"):
        command("sma_cross", "--candles", file, "--param", "pace=1:9:1")


@pytest.mark.django_db
def test_the_command_stops_a_search(file: str) -> None:
    study = begun()
    assert command("--cancel", str(study.pk), "--json") == {"study": study.pk, "cancelled": True}
    assert Study.objects.get(pk=study.pk).state == "cancelled"
