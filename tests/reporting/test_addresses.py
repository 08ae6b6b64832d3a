"""Where messages may not go: this machine and its neighbours, in whatever notation, by whatever detour."""

import socket
from typing import Any

import pytest

from apps.reporting.channels import addresses
from apps.reporting.channels import web as web_module
from apps.reporting.channels.base import Undeliverable
from tests.reporting import providers
from tests.reporting.providers import Web

HOSTS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127.000.000.001",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "0.0.0.0",
    "0",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "169.254.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
]
WRITTEN = [
    "file:///etc/passwd",
    "gopher://example.org/",
    "ftp://example.org/",
    "javascript:alert(1)",
    "data:text/plain,x",
    "https://user@example.org/",
    "https://user:pass@example.org/",
    "https://example.org\\@127.0.0.1/",
    "https://example.org/#fragment",
    "http://example.org/",
    "https://",
    "https:///path",
    "https://example.org:99999/",
    "https://example.org:0/",
    "https://exa mple.org/",
    "https://ex\u00e4mple.org/",
    "//example.org/",
    "example.org",
    "",
    "https://[::1/",
    "https://\u2460.org/",
]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Everything that anybody tried to connect to."""
    tried: list[Any] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        tried.append(address)
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


@pytest.mark.parametrize("host", HOSTS)
def test_no_connection_is_made_to_an_address_inside(host: str, connections: list[Any], settings: Any) -> None:
    settings.NOTIFY_ALLOWED_NETWORKS = []
    for port in (80, 5432):
        with pytest.raises(Undeliverable):
            web_module.exchange(f"https://{host}:{port}/x", b"{}")
    assert connections == []


@pytest.mark.parametrize("url", WRITTEN)
def test_what_is_no_plain_https_address_is_refused_as_written(url: str) -> None:
    assert addresses.url_problem("url", url) is not None


def test_a_name_with_one_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch, connections: list[Any]) -> None:
    _resolves(monkeypatch, ["93.184.215.14", "127.0.0.1"])
    with pytest.raises(Undeliverable, match=r"127\.0\.0\.1"):
        web_module.exchange("https://example.org/", b"{}")
    assert connections == []


def test_a_name_that_leads_elsewhere_a_moment_later_changes_nothing(
    web: Web, monkeypatch: pytest.MonkeyPatch, settings: Any, connections: list[Any]
) -> None:
    """The address that was judged is the one that is connected to: the name is asked for once."""
    answers = [["127.0.0.1"], ["10.9.9.9"]]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *_, **__: _rows(answers.pop(0) if host == "example.org" else [host], port),
    )
    web_module.exchange(f"http://example.org:{web.port}/in", b"{}")
    assert answers == [["10.9.9.9"]]
    assert {address[0] for address in connections} == {"127.0.0.1"}
    assert web.asked[0].headers["host"] == f"example.org:{web.port}"


def test_a_redirect_to_an_address_inside_is_not_followed(web: Web) -> None:
    with providers.web() as inside:
        web.answer = lambda _: providers.status(307, Location=f"{inside.url}/secret")
        with pytest.raises(Undeliverable) as failed:
            web_module.post(f"{web.url}/in", b"{}")
        assert failed.value.permanent
        assert inside.connections == 0


def test_http_without_encryption_is_for_allowed_networks(
    monkeypatch: pytest.MonkeyPatch, connections: list[Any]
) -> None:
    _resolves(monkeypatch, ["93.184.215.14"])
    with pytest.raises(Undeliverable, match="https"):
        web_module.exchange("http://example.org/", b"{}")
    assert connections == []


def _resolves(monkeypatch: pytest.MonkeyPatch, ips: list[str]) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_, **__: _rows(ips, port))


def _rows(ips: list[str], port: int) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ips]
