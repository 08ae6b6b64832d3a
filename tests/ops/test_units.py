"""The units of systemd are those of this code, say only what systemd knows, and start what `manage.py up` starts."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import settings
from django.core.management import call_command

from apps.ops import processes, units
from apps.ops.servers.places import REPOSITORY
from tests.workers.test_procfile import DEFAULTS

FOLDER = REPOSITORY / "deploy" / "systemd"
# What systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5) and systemd.resource-control(5) name.
KNOWN = {
    "Unit": frozenset(
        {
            *("Description", "Documentation", "Wants", "Requires", "BindsTo", "PartOf", "Before", "After", "Conflicts"),
            *("StartLimitIntervalSec", "StartLimitBurst", "ConditionPathExists", "OnFailure"),
        }
    ),
    "Service": frozenset(
        {
            *("Type", "ExecStart", "ExecStartPre", "ExecStop", "Restart", "RestartSec", "RestartPreventExitStatus"),
            *("TimeoutStartSec", "TimeoutStopSec", "KillMode", "KillSignal", "User", "Group", "WorkingDirectory"),
            *("Environment", "EnvironmentFile", "StateDirectory", "StateDirectoryMode", "UMask", "Nice"),
            *("NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities", "ProtectSystem", "ProtectHome"),
            *("ProtectProc", "ProtectClock", "ProtectHostname", "ProtectControlGroups", "ProtectKernelLogs"),
            *("ProtectKernelModules", "ProtectKernelTunables", "PrivateTmp", "PrivateDevices", "RemoveIPC"),
            *("RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID"),
            *("LockPersonality", "MemoryDenyWriteExecute", "SystemCallArchitectures", "SystemCallFilter"),
            *("SystemCallErrorNumber", "MemoryHigh", "MemoryMax", "CPUWeight", "OOMScoreAdjust", "LimitNOFILE"),
        }
    ),
    "Install": frozenset({"WantedBy", "RequiredBy", "Alias", "Also", "DefaultInstance"}),
}
ALLOWED = {
    "Type": {"simple", "exec", "oneshot", "notify"},
    "Restart": {"no", "always", "on-failure"},
    "KillMode": {"control-group", "mixed", "process", "none"},
    "KillSignal": {"SIGTERM", "SIGINT", "SIGQUIT"},
    "ProtectSystem": {"yes", "full", "strict"},
    "ProtectHome": {"yes", "read-only", "tmpfs"},
    "ProtectProc": {"default", "invisible", "noaccess", "ptraceable"},
}
MANY = frozenset({"Environment", "SystemCallFilter"})  # may stand there more than once
NEEDED = frozenset(
    {"NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "CapabilityBoundingSet"}
)


class Line(NamedTuple):
    """One directive."""

    section: str
    name: str
    value: str


def parsed(text: str) -> Iterator[Line]:
    """Read a unit as systemd does: sections, comments, NAME=VALUE; anything else is an error there."""
    section = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith(("#", ";")):
            continue
        head = re.fullmatch(r"\[(\w+)\]", line)
        if head:
            section = head[1]
            continue
        name, equals, value = line.partition("=")
        assert equals, f"{line!r} is no directive"
        assert section, f"{line!r} stands before any section"
        yield Line(section, name, value)


def files() -> list[Path]:
    return sorted(FOLDER.iterdir())


@pytest.fixture
def _defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in DEFAULTS.items():
        monkeypatch.setattr(settings, name, value)


@pytest.mark.usefixtures("_defaults")
def test_the_units_in_the_repository_are_those_of_this_code() -> None:
    assert units.differing(FOLDER, settings) == [], "run `manage.py units`"


@pytest.mark.usefixtures("_defaults")
def test_every_kind_of_process_has_a_unit() -> None:
    named = {re.split(r"[@.]", name.removeprefix("tradingsite-"))[0] for name in units.files(settings)}
    assert named - {"tradingsite"} == {*processes.KINDS, "listener-standby"} - units.LEFT_OUT


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_a_unit_says_only_what_systemd_knows(path: Path) -> None:
    lines = list(parsed(path.read_text()))
    for line in lines:
        assert line.name in KNOWN[line.section], line
        assert line.value in ALLOWED.get(line.name, {line.value}), line
        if line.name.endswith("Sec"):
            assert re.fullmatch(r"\d+(ms|s|min)?|infinity", line.value), line
    names = [(line.section, line.name) for line in lines if line.name not in MANY]
    assert len(set(names)) == len(names), "a directive stands there twice"


@pytest.mark.parametrize("path", [path for path in files() if path.suffix == ".service"], ids=lambda path: path.name)
def test_a_service_runs_with_few_rights_and_is_told_when_to_end(path: Path) -> None:
    found = {line.name: line.value for line in parsed(path.read_text())}
    assert found.keys() >= NEEDED
    assert found["User"] not in {"root", "0", ""}
    assert found["CapabilityBoundingSet"] == ""
    program = shlex.split(found["ExecStart"])
    assert program[0].startswith("/"), "systemd wants a whole path"
    assert "%" not in re.sub("%[%i]", "", found["ExecStart"]), "a specifier that nobody meant"
    assert int(found["TimeoutStopSec"]) > settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT
    assert found["WantedBy"] == found["PartOf"] == units.TARGET
    secrets = [line.value for line in parsed(path.read_text()) if line.name == "Environment"]
    assert not [each for each in secrets if re.search("PASSWORD|SECRET|_URL=", each)]


@pytest.mark.usefixtures("_defaults")
def test_a_service_starts_what_up_starts() -> None:
    for child in processes.children(settings, flower_password=""):
        if child.name in units.LEFT_OUT:
            continue
        text = units.files(settings)[units._file(child)]
        found = {line.name: line.value for line in parsed(text)}
        words = shlex.split(found["ExecStart"].replace("%%h", "%h").replace(units.PLACE, str(processes.ROOT)))
        shard = ["--shard", "%i"] if child.name in units.SHARDED else []
        assert words[1:] == [*child.argv[1:], *shard], child.name
        for name in child.environment.keys() & processes.CELERY.keys():
            assert f'Environment="{name}={child.environment[name]}"' in text


def test_the_target_starts_every_service() -> None:
    wants = next(line.value for line in parsed((FOLDER / units.TARGET).read_text()) if line.name == "Wants").split()
    assert {re.sub(r"@\d+", "@", name) for name in wants} == {p.name for p in files()} - {units.TARGET}


@pytest.mark.usefixtures("_defaults")
def test_the_command_writes_what_differs_and_takes_strangers_away(tmp_path: Path) -> None:
    (tmp_path / "tradingsite-gone.service").write_text("[Unit]\n")
    with pytest.raises(SystemExit):
        call_command("units", tmp_path, "--check")
    call_command("units", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in files()}
    call_command("units", tmp_path, "--check")
    web = tmp_path / "tradingsite-web.service"
    web.write_text(web.read_text().replace("Restart=always", "Restart=sometimes"))
    assert units.differing(tmp_path, settings) == ["tradingsite-web.service"]


@pytest.mark.parametrize("text", ["Restart=always", "[Service]\nRestart"])
def test_the_reader_of_units_sees_mistakes(text: str) -> None:
    with pytest.raises(AssertionError):
        list(parsed(text))
