"""Over TLS, as in production: a good certificate works, a strange one is refused, and a stall is cut all the same."""

import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from apps.market.feeds.base import FeedStatus
from tests.market.following import following, wait_for
from tests.market.venue import Peer, frame, heartbeat, running, ticker

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command for a certificate")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, chain = folder / "key.pem", folder / "chain.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-days", "2", *kind, *subject, "-keyout", key, "-out", chain],
        check=True,
        capture_output=True,
    )
    return key, chain


@pytest.fixture
def secure(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    key, chain = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


def trades(peer: Peer) -> None:
    peer.subscribe()
    for trade_id in range(1, 501):
        peer.send(ticker("BTC-USD", trade_id))
    while True:
        peer.send(heartbeat("BTC-USD", 500))
        time.sleep(0.05)


def stall(peer: Peer) -> None:
    peer.subscribe()
    peer.send(ticker("BTC-USD", 1))
    peer.raw(frame("x" * 500)[:100])
    peer.receive()


def test_trades_arrive_over_tls(
    secure: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    with running(stall, trades, secure=secure) as venue, following(venue) as (feed, sink):
        wait_for(lambda: 500 in sink.ids())
        assert sink.ids() == [1, *range(2, 501)]
        assert feed.counters.reconnects == {"silent": 1}


def test_a_certificate_nobody_vouches_for_is_refused(secure: ssl.SSLContext) -> None:
    with running(trades, secure=secure) as venue, following(venue) as (feed, sink):
        wait_for(lambda: feed.counters.reconnects["tls"] >= 2)
        assert not sink.ticks
        assert feed.state().status is not FeedStatus.LIVE


def test_a_tls_handshake_without_answer_is_cut() -> None:
    def deaf(number: int, connection: object) -> bool:
        time.sleep(1.2)
        return False

    with running(trades, upgrade=deaf) as venue, following(venue.url.replace("ws:", "wss:")) as (feed, _):
        wait_for(lambda: feed.counters.reconnects)
        assert set(feed.counters.reconnects) <= {"timeout", "handshake_timeout"}
