"""Containers run what `manage.py up` runs: the same commands, apart from addresses; and they carry no secret."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from apps.ops import processes
from apps.ops.supervisor import Child
from tests.shape import source
from tests.shape.source import ROOT

DEFAULTS = {
    "SIMULATE": True,
    "SIMULATOR_PORT": 8765,
    "LISTENER_SHARDS": 1,
    "LISTENER_STANDBY": True,
    "WEB_HOST": "0.0.0.0",
    "WEB_PORT": 8000,
    "EXIT_WORKERS": 2,
    "ORDER_WORKERS": 2,
    "WORKERS": 2,
    "REPORTING_WORKERS": 1,
    "BACKTEST_WORKERS": 2,
}
SERVERS = frozenset({"postgres", "redis"})
ONCE = frozenset({"migrate"})
BESIDE = frozenset({"prometheus"})  # programs of others, by profile
SECRETS = re.compile(r"PASSWORD|SECRET|_AUTH$|_URL$")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> dict[str, Child]:
    for name, value in DEFAULTS.items():
        monkeypatch.setattr(settings, name, value)
    return {child.name: child for child in processes.children(settings, flower_password="")}


def command_of(child: Child) -> list[str]:
    return ["python", *(word.removeprefix(f"{ROOT}/") for word in child.argv[1:])]


def test_every_process_has_a_service(compose: dict[str, Any], children: dict[str, Child]) -> None:
    assert compose["services"].keys() - SERVERS - ONCE - BESIDE == children.keys()


def test_every_service_runs_the_command_of_its_process(compose: dict[str, Any], children: dict[str, Child]) -> None:
    for name, child in children.items():
        command = [word for word in compose["services"][name]["command"] if word != "--allow-remote"]
        wanted = [*command_of(child)]
        if name == "simulator":
            wanted.insert(-1, "--host=0.0.0.0")
        assert command == wanted, name


def test_every_worker_has_the_environment_of_its_process(compose: dict[str, Any], children: dict[str, Child]) -> None:
    for name, child in children.items():
        own = {key: value for key, value in child.environment.items() if key in processes.CELERY}
        given = compose["services"][name]["environment"]
        assert {key: given.get(key) for key in own} == own, name


def test_a_worker_has_time_to_end(compose: dict[str, Any]) -> None:
    for name in ("worker", "worker-exits", "worker-orders", "worker-reporting", "worker-backtests"):
        grace = int(compose["services"][name]["stop_grace_period"].removesuffix("s"))
        assert grace > settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT


def test_nothing_starts_before_its_servers_and_tables(compose: dict[str, Any], children: dict[str, Child]) -> None:
    for name in children.keys() - {"simulator"}:
        waits = compose["services"][name]["depends_on"]
        assert {server: waits[server]["condition"] for server in SERVERS} == dict.fromkeys(SERVERS, "service_healthy")
        assert waits["migrate"]["condition"] == "service_completed_successfully"


def test_what_others_wait_for_says_whether_it_is_well(compose: dict[str, Any]) -> None:
    services = compose["services"]
    awaited = {
        other
        for service in services.values()
        for other, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert awaited >= SERVERS
    source.none_of(name for name in awaited | {"web"} if "healthcheck" not in services[name])


def test_only_loopback_is_published(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    source.none_of(port for port in published if not port.startswith("127.0.0.1:"))


def test_the_broker_is_safe(compose: dict[str, Any]) -> None:
    words = " ".join(compose["services"]["redis"]["command"])
    assert "--appendonly yes" in words
    assert "--maxmemory-policy noeviction" in words
    assert "requirepass" in words
    assert "${REDIS_PASSWORD" not in words, "the password would be on the command line"


def test_no_secret_is_in_the_file(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if SECRETS.search(name):
                assert re.search(r"\$\{\w+:\?", value), f"{name} has a value of its own"


def test_our_services_run_with_few_rights(compose: dict[str, Any], children: dict[str, Child]) -> None:
    for name in [*children, *ONCE]:
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["env_file"] == ".env"


def test_every_volume_is_declared_and_every_folder_is_there(compose: dict[str, Any]) -> None:
    used = {volume.split(":")[0] for s in compose["services"].values() for volume in s.get("volumes", [])}
    folders = {name for name in used if name.startswith("./")}
    assert used - folders == compose["volumes"].keys()
    source.none_of(name for name in folders if not (ROOT / name).is_dir())


def test_what_only_some_want_is_a_profile(compose: dict[str, Any]) -> None:
    profiles = {name: s["profiles"] for name, s in compose["services"].items() if "profiles" in s}
    assert profiles == {"flower": ["admin"], "simulator": ["demo"], "prometheus": ["monitoring"]}


def test_every_process_says_whether_it_is_well(compose: dict[str, Any], children: dict[str, Child]) -> None:
    source.none_of(name for name in children if "healthcheck" not in compose["services"][name])
    asked = {name for name in children if "apps.ops.alive" in compose["services"][name]["healthcheck"]["test"]}
    assert children.keys() - asked == {"web", "flower", "simulator"}, "those have a door that can be knocked at"


def test_compose_and_dockerfile_pass_the_linters() -> None:
    """The same two as `make check`: the schema of compose files, and hadolint with every rule."""
    schema = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")
    assert schema.returncode == 0, schema.stdout
    linted = run("hadolint", "--failure-threshold", "info", "Dockerfile")
    assert linted.returncode == 0, linted.stdout


def test_the_linters_see_mistakes(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text((ROOT / "docker-compose.yml").read_text().replace("stop_grace_period: 30s", "stop_grace: 30s", 1))
    assert run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(wrong)).returncode == 1
    image = tmp_path / "Dockerfile"
    image.write_text((ROOT / "Dockerfile").read_text().replace("USER 10001", "USER root"))
    assert run("hadolint", "--failure-threshold", "info", str(image)).returncode == 1


def run(program: str, *words: str) -> "subprocess.CompletedProcess[str]":
    path = Path(sys.executable).parent / program
    return subprocess.run([path, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_no_image_is_whatever_is_newest(compose: dict[str, Any]) -> None:
    images = [s["image"] for s in compose["services"].values() if "build" not in s]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    source.none_of(image for image in images if ":" not in image or image.endswith(":latest"))


def test_the_image_runs_without_root_and_copies_what_is_there() -> None:
    text = (ROOT / "Dockerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (?!root)\w+", last, re.MULTILINE)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for word in line.split()}
    assert copied == allowed
    source.none_of(name for name in copied if not (ROOT / name).exists())


def test_the_image_ignores_everything_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"


def test_the_image_has_every_package_of_the_product() -> None:
    text = (ROOT / "Dockerfile").read_text()
    for folder in ("apps", "workers", "tradingsite", "migrations"):
        assert f"COPY {folder} {folder}" in text


def test_the_first_start_in_containers_is_the_one_up_makes(compose: dict[str, Any]) -> None:
    assert compose["services"]["migrate"]["command"] == ["python", "manage.py", "prepare"]
    assert get_commands()["prepare"] == "apps.ops"
