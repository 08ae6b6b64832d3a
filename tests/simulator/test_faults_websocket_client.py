"""The faults through the library that the production listener uses."""

import json
import threading
import time

import pytest
import websocket

from apps.simulator.exchange import SimExchange


@pytest.fixture
def exchange():
    with SimExchange(products="BTC-USD", rate=None) as running:
        yield running


@pytest.fixture
def client(exchange):
    connected = websocket.create_connection(exchange.ws_url, timeout=3, skip_utf8_validation=True, http_no_proxy=["*"])
    connected.send(json.dumps({"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["ticker"]}))
    assert json.loads(connected.recv())["type"] == "subscriptions"
    assert json.loads(connected.recv())["type"] == "ticker"
    yield connected
    connected.shutdown()


def test_trades_arrive(exchange, client):
    made = exchange.push_many("BTC-USD", ["60000.00", "60001.00"])
    assert [json.loads(client.recv())["trade_id"] for _ in made] == made


def test_drop(exchange, client):
    exchange.fault("drop")
    with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
        client.recv()


def test_close(exchange, client):
    exchange.fault("close", code=1012)
    op, frame = client.recv_data_frame(control_frame=True)
    assert op == websocket.ABNF.OPCODE_CLOSE
    assert frame.data[:2] == (1012).to_bytes(2, "big")


@pytest.mark.parametrize("fault", ["stall", "stall_keep_pong", "stall_mid_frame"])
def test_stalls_are_timeouts(exchange, client, fault):
    exchange.fault(fault)
    exchange.push("BTC-USD", "60000.00")
    client.settimeout(0.5)
    with pytest.raises(websocket.WebSocketTimeoutException):
        client.recv()


def test_stall_keep_pong_pongs(exchange, client):
    exchange.fault("stall_keep_pong")
    client.ping("x")
    op, data = client.recv_data(control_frame=True)
    assert (op, data) == (websocket.ABNF.OPCODE_PONG, b"x")


@pytest.fixture
def unconnected():
    socket = websocket.WebSocket()
    yield socket
    socket.shutdown()


def test_no_handshake(exchange, unconnected):
    exchange.fault("no_handshake")
    unconnected.settimeout(0.5)
    with pytest.raises(websocket.WebSocketTimeoutException):
        unconnected.connect(exchange.ws_url, http_no_proxy=["*"])


@pytest.mark.parametrize("status", [429, 503])
def test_http_status(exchange, unconnected, status):
    exchange.fault("http_status", status=status)
    unconnected.settimeout(3)
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        unconnected.connect(exchange.ws_url, http_no_proxy=["*"])
    assert caught.value.status_code == status


def test_bad_utf8_reaches_a_client_that_skips_validation(exchange, client):
    exchange.fault("garbage", kind="bad_utf8")
    op, data = client.recv_data()
    assert op == websocket.ABNF.OPCODE_TEXT
    with pytest.raises(UnicodeDecodeError):
        data.decode()


def test_run_forever_sees_the_close_code_and_ends(exchange):
    seen, opened, sockets = [], threading.Event(), []

    def on_open(app):
        sockets.append(app.sock.sock)  # the library forgets it without closing it when the server closes
        app.send(json.dumps({"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["ticker"]}))

    app = websocket.WebSocketApp(
        exchange.ws_url,
        on_open=on_open,
        on_message=lambda _, message: opened.set(),
        on_close=lambda _, code, reason: seen.append((code, reason)),
    )
    thread = threading.Thread(target=app.run_forever, kwargs={"skip_utf8_validation": True, "http_no_proxy": ["*"]})
    thread.start()
    assert opened.wait(5)
    time.sleep(0.1)
    exchange.fault("close", code=1012, reason="service restart")
    thread.join(5)
    sockets[0].close()
    assert not thread.is_alive()
    assert seen == [(1012, "service restart")]
