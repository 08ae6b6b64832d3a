"""Servers and programs that the operator names are used, never started, and never replaced."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.ops import servers
from apps.ops.servers import ServersUnavailable, programs


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("DATABASE_URL", "REDIS_URL", servers.EMBEDDED):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_servers_named_by_the_operator_are_left_alone(unnamed: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unnamed.setenv("DATABASE_URL", "postgres://me:secret@db.example:5432/site")
    unnamed.setenv("REDIS_URL", "redis://cache.example:6379/0")
    with servers.hold(tmp_path / "var") as found:
        assert found.database_url == "postgres://me:secret@db.example:5432/site"
        assert (found.postgresql, found.redis) == (
            "db.example:5432 (DATABASE_URL)",
            "cache.example:6379 (REDIS_URL)",
        )
        assert found.embedded == ()
    assert not (tmp_path / "var").exists()


def test_only_the_server_that_is_not_named_is_started(unnamed: pytest.MonkeyPatch, state: Path) -> None:
    unnamed.setenv("DATABASE_URL", "postgres://me@db.example/site")
    with servers.hold(state) as found:
        assert found.embedded == ("redis",)
        assert os.environ["REDIS_URL"] == found.redis_url
        assert not servers.alive("postgresql", state)


def test_hold_exports_the_addresses_and_takes_them_back(unnamed: pytest.MonkeyPatch, state: Path) -> None:
    unnamed.delenv("TRADINGSITE_VAR", raising=False)
    with servers.hold(state) as found:
        assert os.environ["DATABASE_URL"] == found.database_url
        assert os.environ["TRADINGSITE_VAR"] == str(state)
        with servers.hold() as inner:  # as a child process does: inherited addresses are ours, not an operator's
            assert inner == found
        assert servers.alive("postgresql", state)
        unnamed.setenv("DATABASE_URL", "postgres://me@db.example/site")
        with servers.hold() as named:
            assert named.embedded == ("redis",)
    assert not {"DATABASE_URL", "REDIS_URL", "TRADINGSITE_VAR", servers.EMBEDDED} & set(os.environ)


def test_a_state_directory_that_is_a_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(ServersUnavailable, match="TRADINGSITE_VAR"), servers.lease(tmp_path / "var"):
        pass


@pytest.mark.parametrize(("variable", "find"), [("PG_BINDIR", programs.postgres), ("VALKEY_BIN", programs.valkey)])
def test_a_program_named_by_the_operator_must_exist(
    monkeypatch: pytest.MonkeyPatch, variable: str, find: Callable[[], programs.Program]
) -> None:
    monkeypatch.setenv(variable, "/nonexistent/folder")
    with pytest.raises(ServersUnavailable, match=variable):
        find()
