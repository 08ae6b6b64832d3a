"""REST as the real exchange answers it, and HTTP as strict as it has to be."""

import contextlib
import socket
import time
from datetime import UTC, datetime, timedelta

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from apps.simulator import httpwire
from apps.simulator.exchange import SimExchange


@pytest.fixture(scope="module")
def exchange():
    with SimExchange(products="BTC-USD,ETH-USD", rate=None) as running:
        running.push_many("BTC-USD", [f"{60_000 + i}.00" for i in range(250)])
        yield running


def get(exchange, path, **params):
    return requests.get(exchange.rest_url + path, params=params, timeout=5)


def test_time_is_now(exchange):
    body = get(exchange, "/time").json()
    assert body["epoch"] == pytest.approx(time.time(), abs=2)
    assert datetime.fromisoformat(body["iso"]).timestamp() == pytest.approx(body["epoch"], abs=0.001)


def test_products_ticker_stats_and_book_agree(exchange):
    assert [row["id"] for row in get(exchange, "/products").json()] == ["BTC-USD", "ETH-USD"]
    assert get(exchange, "/products/BTC-USD").json()["base_increment"] == "0.00000001"
    ticker = get(exchange, "/products/BTC-USD/ticker").json()
    assert set(ticker) == {"ask", "bid", "volume", "trade_id", "price", "size", "time"}
    assert (ticker["price"], ticker["bid"], ticker["ask"]) == ("60249.00", "60248.99", "60249.00")
    book = get(exchange, "/products/BTC-USD/book", level=1).json()
    assert (book["bids"][0][0], book["asks"][0][0]) == ("60248.99", "60249.00")
    assert get(exchange, "/products/BTC-USD/stats").json()["last"] == "60249.00"


def test_trades_come_newest_first_with_cursors_at_both_ends(exchange):
    answer = get(exchange, "/products/BTC-USD/trades", limit=100)
    ids = [row["trade_id"] for row in answer.json()]
    assert ids == list(range(ids[0], ids[0] - 100, -1))
    assert (answer.headers["CB-BEFORE"], answer.headers["CB-AFTER"]) == (str(ids[0]), str(ids[-1]))
    assert answer.json()[0]["price"] == "60249.00000000"
    assert answer.json()[0]["side"] == "sell"  # the maker's side of a taker's buy


def test_walking_back_with_after_visits_every_trade_once(exchange):
    seen, after = [], None
    while True:
        answer = get(exchange, "/products/BTC-USD/trades", limit=60, **({"after": after} if after else {}))
        if not answer.json():
            break
        seen += [row["trade_id"] for row in answer.json()]
        after = answer.headers["CB-AFTER"]
    assert seen == list(range(seen[0], seen[0] - len(seen), -1))
    assert len(seen) >= 250


def test_before_gives_newer_trades_and_both_cursors_a_range(exchange):
    newest = get(exchange, "/products/BTC-USD/trades", limit=1).json()[0]["trade_id"]
    newer = get(exchange, "/products/BTC-USD/trades", before=newest - 5).json()
    assert [row["trade_id"] for row in newer] == [newest - i for i in range(5)]
    between = get(exchange, "/products/BTC-USD/trades", before=newest - 20, after=newest - 10).json()
    assert [row["trade_id"] for row in between] == list(range(newest - 11, newest - 20, -1))
    nothing = get(exchange, "/products/BTC-USD/trades", before=newest)
    assert nothing.json() == []
    assert "CB-AFTER" not in nothing.headers


def test_a_month_of_minute_candles_can_be_fetched_in_pages(exchange):
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    stamps, until = [], end
    while until > end - timedelta(days=30):
        start = until - timedelta(minutes=299)
        page = get(
            exchange, "/products/ETH-USD/candles", granularity=60, start=start.isoformat(), end=until.isoformat()
        ).json()
        assert 280 < len(page) <= 300 or until > end - timedelta(hours=1)
        assert [row[0] for row in page] == sorted((row[0] for row in page), reverse=True)
        assert all(start.timestamp() <= row[0] <= until.timestamp() for row in page)
        assert all(row[1] <= min(row[3:5]) <= max(row[3:5]) <= row[2] for row in page)
        stamps += [row[0] for row in page]
        until = start - timedelta(minutes=1)
    assert len(stamps) == len(set(stamps)) > 43_000


@pytest.mark.parametrize("granularity", [60, 300, 900, 3600, 21600, 86400])
def test_every_granularity_answers_with_candles_on_its_grid(exchange, granularity):
    rows = get(exchange, "/products/BTC-USD/candles", granularity=granularity).json()
    assert 290 <= len(rows) <= 300
    assert all(row[0] % granularity == 0 for row in rows)
    assert rows[0][4] == 60_249.0  # the running candle closes at the last trade


def test_instants_may_be_numbers_and_one_end_alone_is_ignored(exchange):
    now = int(time.time())
    assert (
        len(get(exchange, "/products/BTC-USD/candles", granularity=60, start=now - 7_200, end=now - 3_600).json()) > 55
    )
    assert len(get(exchange, "/products/BTC-USD/candles", granularity=3600, start=now - 7_200).json()) > 290


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/products/NO-USD", 404, "NotFound"),
        ("/products/NO-USD/trades", 404, "NotFound"),
        ("/nowhere", 404, "NotFound"),
        ("/products/BTC-USD/candles?granularity=61", 400, "Unsupported granularity"),
        ("/products/BTC-USD/candles?granularity=60&start=2024-01-01&end=2024-02-01", 400, "granularity too small"),
        ("/products/BTC-USD/candles?start=yesterday&end=today", 400, "Invalid start"),
        ("/products/BTC-USD/candles?start=20&end=10", 400, "start must be before end"),
        ("/products/BTC-USD/candles?granularity=0", 400, "Unsupported granularity"),
        ("/products/BTC-USD/trades?limit=-1", 400, "Invalid limit"),
        ("/products/BTC-USD/trades?limit=0", 400, "Invalid limit"),
        ("/products/BTC-USD/trades?after=1_000", 400, "Invalid after"),
        ("/products/BTC-USD/book?level=2", 400, "Invalid level"),
    ],
)
def test_refusals_name_what_is_wrong(exchange, path, status, message):
    answer = requests.get(exchange.rest_url + path, timeout=5)
    assert answer.status_code == status
    assert answer.json()["message"].startswith(message)


def test_one_connection_serves_many_requests_also_at_once(exchange):
    with socket.create_connection(("127.0.0.1", exchange.port), timeout=5) as sock:
        request = b"GET /time HTTP/1.1\r\nHost: x\r\n\r\n"
        sock.sendall(request * 3 + request[:10])
        sock.sendall(request[10:-2] + b"Connection: close\r\n\r\n")
        answer = b""
        while chunk := sock.recv(65_536):
            answer += chunk
    assert answer.count(b"HTTP/1.1 200 OK") == 4


def test_head_has_a_length_but_no_body(exchange):
    answer = requests.head(exchange.rest_url + "/time", timeout=5)
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) > 20
    assert answer.content == b""


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HELLO\r\n\r\n", 400),
        (b"GET time HTTP/1.1\r\n\r\n", 400),
        (b"GET //[ HTTP/1.1\r\n\r\n", 400),
        (b"GET /time HTTP/1.1\r\nbroken\r\n\r\n", 400),
        (b"POST /_sim/faults HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /_sim/faults HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST /_sim/faults HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET /" + b"x" * 40_000, 431),
        (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\r\n", 426),
        (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", 400),
        (b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", 404),
    ],
)
def test_what_is_not_a_proper_request_gets_its_status_and_the_end(exchange, head, status):
    with socket.create_connection(("127.0.0.1", exchange.port), timeout=5) as sock:
        sock.sendall(head)
        answer = b""
        while chunk := sock.recv(65_536):
            answer += chunk
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda t: f"GET /{t} HTTP/1.1\r\n{t}\r\n".encode()))
)
def test_no_bytes_break_the_parser(noise):
    buffer = bytearray(noise + b"\r\n\r\n")
    with contextlib.suppress(httpwire.BadRequest):
        while (before := len(buffer)) and httpwire.take(buffer) is not None:
            assert len(buffer) < before


def test_public_limits_are_a_bucket_of_fifteen_that_fills_at_ten_a_second():
    with SimExchange(products="BTC-USD", rate=None, public_limits=True) as exchange, requests.Session() as session:
        statuses = [session.get(exchange.rest_url + "/time", timeout=5).status_code for _ in range(20)]
        assert statuses[:15] == [200] * 15
        assert 429 in statuses[15:]
        assert session.get(exchange.rest_url + "/_sim/journal", timeout=5).status_code == 200
        time.sleep(0.35)
        assert session.get(exchange.rest_url + "/time", timeout=5).status_code == 200


def test_trades_can_be_made_over_http(exchange):
    trades = [{"product_id": "ETH-USD", "price": "2999.50", "side": "sell"}, {"product_id": "ETH-USD", "price": "3001"}]
    ids = requests.post(exchange.rest_url + "/_sim/trades", json=trades, timeout=5).json()["trade_ids"]
    rows = get(exchange, "/products/ETH-USD/trades", limit=2).json()
    assert [(row["trade_id"], row["price"], row["side"]) for row in rows] == [
        (ids[1], "3001.00000000", "sell"),
        (ids[0], "2999.50000000", "buy"),
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"product_id": "NO-USD", "price": "1"}, "'NO-USD' is not a valid product"),
        ({"product_id": "ETH-USD", "price": "NaN"}, "price must be a positive decimal"),
        ({"product_id": "ETH-USD", "price": "1_000"}, "price must be a positive decimal"),
        ({"product_id": "ETH-USD", "price": "-5"}, "price must be a positive decimal"),
        ({"product_id": "ETH-USD", "price": "1", "side": "long"}, "side must be buy or sell"),
        ({"product_id": "ETH-USD", "price": "1", "colour": "red"}, "colour is not a field"),
        ([{"product_id": "ETH-USD", "price": "1"}, {"price": "1"}], "needs product_id and price"),
        ("text", "needs product_id and price"),
    ],
)
def test_wrong_trades_are_refused_as_a_whole(exchange, body, words):
    before = exchange.journal()["trades"]
    answer = requests.post(exchange.rest_url + "/_sim/trades", json=body, timeout=5)
    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert exchange.journal()["trades"] == before
