"""Recorded files as the market, and the files we write ourselves."""

import gzip
import itertools
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from apps.simulator import record, replay
from apps.simulator.exchange import SimExchange
from tests.simulator.wireclient import WireClient

DATA = Path(__file__).parents[2] / "../shared/data/ticks"


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ticks") / "generated.jsonl.gz"
    record.write(path, 600, seed=4, rate=200)
    return path


def messages(path: Path) -> list[dict]:
    raw = path.read_bytes()
    text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    return [json.loads(line)["msg"] for line in text.splitlines()]


def played(client: WireClient, count: int) -> list[dict]:
    return client.of_type("ticker", count=count, timeout=20)


def products_of(rows: list[dict]) -> list[str]:
    return sorted({row["product_id"] for row in rows})


def test_a_recording_is_the_same_for_the_same_seed_and_packed_or_not(tmp_path):
    for name, seed in (("a.jsonl", 1), ("b.jsonl", 1), ("c.jsonl", 2), ("a.jsonl.gz", 1), ("b.jsonl.gz", 1)):
        record.write(tmp_path / name, 200, seed=seed)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (tmp_path / "a.jsonl").read_bytes() != (tmp_path / "c.jsonl").read_bytes()
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert messages(tmp_path / "a.jsonl.gz") == messages(tmp_path / "a.jsonl")


@pytest.mark.skipif(not DATA.exists(), reason="the recorded data is not on this machine")
def test_a_generated_recording_has_the_shape_of_the_recorded_ones():
    with gzip.open(next(DATA.glob("btc-usd*.jsonl.gz")), "rt") as lines:
        theirs = [json.loads(line) for line in itertools.islice(lines, 50)]
    ours = [json.loads(line) for line in record.lines(50)]

    def shape(row: dict) -> list:
        return [
            (key, [(k, type(v)) for k, v in value.items()] if isinstance(value, dict) else type(value))
            for key, value in row.items()
        ]

    assert {str(shape(row)) for row in ours} == {str(shape(row)) for row in theirs}
    assert all(a["at_ns"] < b["at_ns"] for a, b in itertools.pairwise(ours))


def test_every_tick_is_played_in_order_with_its_price_id_and_quote(generated):
    rows = messages(generated)
    with SimExchange(replay=generated, speed=0) as exchange, WireClient(exchange.port) as client:
        client.subscribe("ticker", products=products_of(rows))
        got = played(client, len(rows) + len(products_of(rows)))[len(products_of(rows)) :]
        keys = ("product_id", "trade_id", "price", "last_size", "side", "best_bid", "best_ask", "sequence")
        assert [[m[k] for k in keys] for m in got] == [[m[k] for k in keys] for m in rows]
        assert exchange.journal()["finished"]
        assert all(not ledger["unsent"] for ledger in exchange.journal()["products"].values())


def test_replayed_trades_carry_the_time_they_are_played_at(generated):
    with SimExchange(replay=generated, speed=0) as exchange, WireClient(exchange.port) as client:
        client.listen("ticker")
        stamp = played(client, 1)[0]["time"]
    assert abs((datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()) < 5


def test_nothing_is_played_before_somebody_listens(generated):
    with SimExchange(replay=generated, speed=0) as exchange, WireClient(exchange.port) as client:
        time.sleep(0.2)
        assert exchange.journal()["trades"] == 0
        first = messages(generated)[0]
        old = client.listen("ticker", products=[first["product_id"]])[0]
        assert old["trade_id"] < first["trade_id"]
        assert played(client, 1)[0]["trade_id"] == first["trade_id"]


def test_the_speed_multiplies_the_recorded_pace(generated):
    span = 600 / 200  # seconds the recording lasts, about
    with SimExchange(replay=generated, speed=3) as exchange, WireClient(exchange.port) as client:
        products = products_of(messages(generated))
        client.listen("ticker", products=products)
        began = time.monotonic()
        played(client, 590)
        assert time.monotonic() - began == pytest.approx(span / 3, rel=0.35)


def test_a_looped_recording_goes_on_with_rising_ids_sequences_and_times(generated):
    rows = [m for m in messages(generated) if m["product_id"] == "BTC-USD"]
    with SimExchange(replay=generated, speed=0, loop=True) as exchange, WireClient(exchange.port) as client:
        client.listen("ticker")
        got = played(client, 3 * len(rows) + 5)
    ids = [m["trade_id"] for m in got]
    assert ids == list(range(ids[0], ids[0] + len(got)))
    assert all(a["sequence"] < b["sequence"] and a["time"] < b["time"] for a, b in itertools.pairwise(got))
    assert [m["price"] for m in got[len(rows) : 2 * len(rows)]] == [m["price"] for m in rows]


def test_quiet_holds_a_replay_back_without_losing_ticks(generated):
    with SimExchange(replay=generated, speed=10) as exchange, WireClient(exchange.port) as client:
        client.listen("ticker", products=products_of(messages(generated)))
        played(client, 50)
        exchange.fault("quiet", seconds=0.6)
        before = exchange.journal()["trades"]
        time.sleep(0.4)
        assert exchange.journal()["trades"] <= before + 1
        assert len(played(client, 540)) == 540


@pytest.mark.skipif(not DATA.exists(), reason="the recorded data is not on this machine")
def test_real_ticks_are_played_unchanged():
    path = next(DATA.glob("btc-usd*.jsonl.gz"))
    with gzip.open(path, "rt") as lines:
        rows = [json.loads(line)["msg"] for line in itertools.islice(lines, 3_000)]
    with SimExchange(replay=path, speed=0) as exchange, WireClient(exchange.port) as client:
        client.listen("ticker")
        got = played(client, 3_000)
    assert [(m["trade_id"], m["price"], m["side"]) for m in got] == [
        (m["trade_id"], m["price"], m["side"]) for m in rows
    ]


GOOD = b'{"at_ns":1,"msg":{"type":"ticker","product_id":"BTC-USD","price":"1.5","trade_id":7,"sequence":9}}\n'


def test_other_message_types_and_empty_lines_are_passed_over(tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b'{"at_ns":1,"msg":{"type":"heartbeat","sequence":1}}\n\n' + GOOD)
    recording = replay.open_recording(path)
    assert (recording.ticks, recording.tracks[0].first_price) == (1, "1.5")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no ticker"),
        (GOOD + b"nonsense\n", "line 2 is not"),
        (GOOD + b'{"at_ns":"x","msg":{"type":"ticker"}}\n', "line 2 is not"),
        (GOOD.replace(b'"1.5"', b'"NaN"'), "the first price of BTC-USD must be a positive decimal"),
        (GOOD + GOOD.replace(b'"1.5"', b'"-2"'), "ticker 2 has price '-2'"),
        (GOOD.replace(b"BTC-USD", b"btc usd"), "'btc usd' is not a product id"),
        (gzip.compress(GOOD * 500)[:-30], "damaged"),
        (b"\x1f\x8bgarbage", "damaged|not a readable gzip"),
        (b"\xff\xfe\n", "line 1 is not"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path, content, words):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        replay.open_recording(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.jsonl: No such file"):
        replay.open_recording(tmp_path / "nowhere.jsonl")
