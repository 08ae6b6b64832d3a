"""What bad input gets: a refusal that names field, value, rule and remedy; and nothing is stored."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.market.models import Quote
from apps.trading.models import Exit, ExitLeg, Fill, LedgerEntry, Position
from tests.web.conftest import Caller, now

URL = "/api/v1/positions"
GOOD = {"instrument": "BTC-USD", "side": "long", "quantity": "0.5", "stop_loss": "60000"}
MISSING = object()


def stored() -> list[int]:
    return [model.objects.count() for model in (Position, ExitLeg, Exit, Fill, LedgerEntry)]


ROWS: list[tuple[str, dict[str, Any], str]] = [
    ("stop above a long", {"stop_loss": "70000"}, "stop_loss"),
    ("stop at the price", {"stop_loss": "61800"}, "stop_loss"),
    ("stop below a short", {"side": "short"}, "stop_loss"),
    ("target below a long", {"take_profit": "60000"}, "take_profit"),
    ("target above a short", {"side": "short", "stop_loss": None, "take_profit": "70000"}, "take_profit"),
    ("stop off the grid", {"stop_loss": "60000.001"}, "stop_loss"),
    ("target off the grid", {"take_profit": "65000.005"}, "take_profit"),
    ("quantity missing", {"quantity": MISSING}, "quantity"),
    ("quantity null", {"quantity": None}, "quantity"),
    ("quantity zero", {"quantity": "0"}, "quantity"),
    ("quantity minus zero", {"quantity": "-0"}, "quantity"),
    ("quantity negative", {"quantity": "-1"}, "quantity"),
    ("quantity absurd", {"quantity": "9999999999999999"}, "quantity"),
    ("quantity of 17 digits", {"quantity": "10000000000000000"}, "quantity"),
    ("quantity beyond the funds", {"quantity": "1000"}, "quantity"),
    ("quantity too small", {"quantity": "0.00001"}, "quantity"),
    ("quantity off the lot", {"quantity": "0.500000001"}, "quantity"),
    ("quantity of 13 decimals", {"quantity": "0.5000000000001"}, "quantity"),
    ("quantity as an integer", {"quantity": 1}, "quantity"),
    ("quantity as a float", {"quantity": 0.5}, "quantity"),
    ("quantity true", {"quantity": True}, "quantity"),
    ("quantity a list", {"quantity": ["0.5"]}, "quantity"),
    ("quantity empty", {"quantity": ""}, "quantity"),
    ("quantity NaN", {"quantity": "NaN"}, "quantity"),
    ("quantity sNaN", {"quantity": "sNaN"}, "quantity"),
    ("quantity Infinity", {"quantity": "Infinity"}, "quantity"),
    ("quantity with an exponent", {"quantity": "1e-1"}, "quantity"),
    ("quantity 1e400", {"quantity": "1e400"}, "quantity"),
    ("quantity with an underscore", {"quantity": "1_000"}, "quantity"),
    ("quantity in full-width digits", {"quantity": "\uff11"}, "quantity"),
    ("quantity in Arabic digits", {"quantity": "\u0665"}, "quantity"),
    ("quantity with a plus", {"quantity": "+1"}, "quantity"),
    ("quantity with a space", {"quantity": " 1"}, "quantity"),
    ("quantity with a comma", {"quantity": "0,5"}, "quantity"),
    ("quantity in hexadecimal", {"quantity": "0x1"}, "quantity"),
    ("quantity with a line end", {"quantity": "1\n"}, "quantity"),
    ("quantity without a digit first", {"quantity": ".5"}, "quantity"),
    ("quantity of 100,000 digits", {"quantity": "1" * 100_000}, "quantity"),
    ("side missing", {"side": MISSING}, "side"),
    ("side unknown", {"side": "up"}, "side"),
    ("side in capitals", {"side": "LONG"}, "side"),
    ("side a number", {"side": 1}, "side"),
    ("side null", {"side": None}, "side"),
    ("instrument missing", {"instrument": MISSING}, "instrument"),
    ("instrument unknown", {"instrument": "XYZ-USD"}, "instrument"),
    ("instrument a number", {"instrument": 1}, "instrument"),
    ("instrument in small letters", {"instrument": "btc-usd"}, "instrument"),
    ("instrument with NUL", {"instrument": "BTC\x00USD"}, "instrument"),
    ("instrument a statement", {"instrument": "BTC'; DROP TABLE"}, "instrument"),
    ("instrument of Cyrillic letters", {"instrument": "\u0412\u0422\u0421-USD"}, "instrument"),
    ("stop zero", {"stop_loss": "0"}, "stop_loss"),
    ("stop negative", {"stop_loss": "-60000"}, "stop_loss"),
    ("stop a float", {"stop_loss": 60000.5}, "stop_loss"),
    ("stop an object", {"stop_loss": {"level": "60000"}}, "stop_loss"),
    ("trail of 100 %", {"trailing_stop": "100%"}, "trailing_stop"),
    ("trail of 0 %", {"trailing_stop": "0%"}, "trailing_stop"),
    ("trail negative", {"trailing_stop": "-1%"}, "trailing_stop"),
    ("trail of NaN %", {"trailing_stop": "NaN%"}, "trailing_stop"),
    ("trail with a space", {"trailing_stop": "1 %"}, "trailing_stop"),
    ("trail longer than the price", {"trailing_stop": "61800"}, "trailing_stop"),
    ("trail off the grid", {"trailing_stop": "150.001"}, "trailing_stop"),
    ("trail of 11 decimals", {"trailing_stop": "1.00000000001%"}, "trailing_stop"),
    ("trail an integer", {"trailing_stop": 150}, "trailing_stop"),
    ("time naive", {"time_stop": "2100-01-01T00:00:00"}, "time_stop"),
    ("time in the past", {"time_stop": "2020-01-01T00:00:00Z"}, "time_stop"),
    ("time too far", {"time_stop": "2999-01-01T00:00:00Z"}, "time_stop"),
    ("time at the end of time", {"time_stop": "9999-12-31T23:59:59-12:00"}, "time_stop"),
    ("time at the beginning of time", {"time_stop": "0001-01-01T00:00:00+12:00"}, "time_stop"),
    ("time that does not exist", {"time_stop": "2027-02-30T00:00:00Z"}, "time_stop"),
    ("time as a date", {"time_stop": "2027-01-01"}, "time_stop"),
    ("time in full-width digits", {"time_stop": "\uff12027-01-01T00:00:00Z"}, "time_stop"),
    ("time of zero seconds", {"time_stop": 0}, "time_stop"),
    ("time of negative seconds", {"time_stop": -5}, "time_stop"),
    ("time of 2**70 seconds", {"time_stop": 2**70}, "time_stop"),
    ("time of half a second", {"time_stop": 0.5}, "time_stop"),
    ("time true", {"time_stop": True}, "time_stop"),
    ("time as text of seconds", {"time_stop": "3600"}, "time_stop"),
    ("break-even a number", {"break_even": "62500"}, "break_even"),
    ("break-even without activation", {"break_even": {}}, "break_even.activation"),
    ("break-even already reached", {"break_even": {"activation": "61000"}}, "break_even"),
    ("break-even beyond its activation", {"break_even": {"activation": "62000", "offset": "900"}}, "break_even"),
    ("break-even with a negative offset", {"break_even": {"activation": "63000", "offset": "-1"}}, "break_even.offset"),
    ("break-even with more", {"break_even": {"activation": "63000", "x": 1}}, "break_even.x"),
    ("legs an object", {"legs": {"kind": "stop_loss"}}, "legs"),
    ("leg a text", {"legs": ["stop_loss"]}, "legs[0]"),
    ("leg of no kind", {"legs": [{"level": "60000"}]}, "legs[0].kind"),
    ("leg of an unknown kind", {"legs": [{"kind": "magic"}]}, "legs[0].kind"),
    ("leg without its level", {"legs": [{"kind": "take_profit"}]}, "legs[0].level"),
    ("leg with a stray key", {"legs": [{"kind": "time_stop", "due_at": 5, "level": "1"}]}, "legs[0].level"),
    (
        "leg with a fraction above 1",
        {"legs": [{"kind": "take_profit", "level": "65000", "fraction": "1.1"}]},
        "take_profit",
    ),
    (
        "leg with a fraction of nine decimals",
        {"legs": [{"kind": "take_profit", "level": "65000", "fraction": "0.123456789"}]},
        "legs[0].fraction",
    ),
    (
        "legs that are more than the position",
        {"legs": [{"kind": "take_profit", "level": str(x), "fraction": "0.6"} for x in (65000, 66000)]},
        "take_profit",
    ),
    (
        "leg of less than a lot",
        {"quantity": "0.0001", "legs": [{"kind": "take_profit", "level": "65000", "fraction": "0.00001"}]},
        "take_profit",
    ),
    ("too many legs", {"legs": [{"kind": "take_profit", "level": "65000", "fraction": "0.01"}] * 21}, "legs"),
    ("account unknown", {"account": 999999}, "account"),
    ("account zero", {"account": 0}, "account"),
    ("account 2**70", {"account": 2**70}, "account"),
    ("account true", {"account": True}, "account"),
    ("account a float", {"account": 1.0}, "account"),
    ("unknown field", {"stoploss": "60000"}, "stoploss"),
    ("protected field: status", {"status": "closed"}, "status"),
    ("protected field: entry price", {"entry_price": "1"}, "entry_price"),
    ("protected field: owner", {"owner": 1}, "owner"),
    ("a name that cannot be shown", {"\x00": "1"}, "\x00"),
]


@pytest.mark.parametrize(("change", "field"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_bad_field_is_named_and_nothing_is_stored(ada: Caller, change: dict[str, Any], field: str) -> None:
    before = stored()
    body = {key: value for key, value in {**GOOD, **change}.items() if value is not MISSING}
    answer = ada.post(URL, body)
    assert answer.status_code == 400, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    got = answer.json()
    assert {"type", "title", "status", "detail", "errors"} <= set(got)
    assert got["status"] == 400
    assert field in [error["field"] for error in got["errors"]]
    for error in got["errors"]:
        assert all(isinstance(error[key], str) and error[key] for key in ("field", "rule", "remedy")), error
        assert len(error["value"]) <= 80
    assert stored() == before


def test_every_wrong_field_is_reported_at_once(ada: Caller) -> None:
    answer = ada.post(URL, {"side": "up", "quantity": 1.5, "stop": "1", "legs": [{}, {"kind": "time_stop"}]})
    fields = {error["field"] for error in answer.json()["errors"]}
    assert fields == {"side", "quantity", "stop", "instrument", "legs[0].kind", "legs[1].due_at"}


def test_a_float_is_told_to_be_a_string_with_all_its_digits(ada: Caller) -> None:
    answer = ada.post(URL, b'{"instrument": "BTC-USD", "side": "long", "quantity": 0.1000000000000000001}')
    (error,) = answer.json()["errors"]
    assert "string" in error["rule"]
    assert error["value"] == "0.1000000000000000001"


BODIES: list[tuple[str, bytes, int]] = [
    ("NaN", b'{"quantity": NaN}', 400),
    ("Infinity", b'{"quantity": -Infinity}', 400),
    ("doubled keys", b'{"side": "long", "side": "short"}', 400),
    ("doubled keys further in", b'{"break_even": {"activation": "1", "activation": "2"}}', 400),
    ("21 levels", b'{"a":' + b"[" * 20 + b"]" * 20 + b"}", 400),
    ("100,000 levels", b"[" * 100_000, 400),
    ("a string of brackets without end", b'"' + b'\\"[' * 80_000, 400),
    ("a whole number of 5,000 digits", b'{"time_stop": ' + b"9" * 5000 + b"}", 400),
    ("bad UTF-8", b'{"side": "\xff"}', 400),
    ("an encoded surrogate", b'{"side": "\xed\xa0\x80"}', 400),
    ("half a pair", b'{"side": "\\ud800"}', 400),
    ("half a pair as a name", b'{"\\udfff": 1}', 400),
    ("a byte order mark", b"\xef\xbb\xbf{}", 400),
    ("UTF-16", '{"side": "long"}'.encode("utf-16"), 400),
    ("no JSON", b"quantity=1", 400),
    ("half of JSON", b'{"side": ', 400),
    ("two values", b"{} {}", 400),
    ("a list", b"[]", 400),
    ("null", b"null", 400),
    ("a number", b"1", 400),
    ("nothing", b"", 400),
    ("a comment", b"{} // x", 400),
    ("NUL bytes", b"\x00" * 50, 400),
    ("a body of 256 KB and one byte", b" " * (256 * 1024) + b"{", 413),
    ("packed", gzip.compress(b"{}"), 400),
]


@pytest.mark.parametrize(("body", "status"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
def test_a_body_that_is_not_plain_json_is_refused(ada: Caller, body: bytes, status: int) -> None:
    before = stored()
    answer = ada.post(URL, body)
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert stored() == before


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"])
def test_only_json_is_taken(ada: Caller, kind: str) -> None:
    answer = ada.post(URL, json.dumps(GOOD).encode(), content_type=kind)
    assert answer.status_code == 415
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_packed_body_is_refused_by_its_header(ada: Caller) -> None:
    answer = ada.post(URL, gzip.compress(json.dumps(GOOD).encode()), **{"content-encoding": "gzip"})
    assert answer.status_code == 415


def test_depth_twenty_is_still_read(ada: Caller) -> None:
    answer = ada.post(URL, b'{"a":' + b"[" * 19 + b"]" * 19 + b"}")
    assert "a" in [error["field"] for error in answer.json()["errors"]]


QUERIES = [
    ("status=shut", "status"),
    ("stauts=open", "stauts"),
    ("side=up", "side"),
    ("instrument=btc", "instrument"),
    ("instrument=%00", "instrument"),
    ("account=x", "account"),
    ("account=1180591620717411303424", "account"),
    ("limit=0", "limit"),
    ("limit=201", "limit"),
    ("limit=-1", "limit"),
    ("limit=1e1", "limit"),
    ("limit=%EF%BC%91", "limit"),
    ("limit=", "limit"),
    ("offset=-1", "offset"),
    ("offset=x", "offset"),
    ("offset=99999999999999999999999", "offset"),
    ("status=open&status=closed", "status"),
    ("limit=1&limit=2", "limit"),
    ("format=xml", "format"),
]


@pytest.mark.parametrize(("query", "field"), QUERIES, ids=[query for query, _ in QUERIES])
def test_a_bad_filter_is_refused_instead_of_ignored(ada: Caller, query: str, field: str) -> None:
    answer = ada.get(f"{URL}?{query}")
    assert answer.status_code == 400
    assert field in [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("path", ["", "/close", "/levels"])
@pytest.mark.parametrize("id_", ["0", "999999", str(2**70), "-1", "x", "%00", "1.5", "\uff11"])
def test_an_unknown_position_is_not_found(ada: Caller, id_: str, path: str) -> None:
    method = {"": "GET", "/close": "POST", "/levels": "PATCH"}[path]
    answer = ada.send(method, f"{URL}/{id_}{path}", {"stop_loss": "1"} if path == "/levels" else None)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


# --- anything at all -------------------------------------------------------------------------------------------------
texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "NaN", "1e5", "-0", "1_0", "BTC-USD", "long", "60000", "0.5", "1%", "2100-01-01T00:00:00Z"]),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.from_regex(r"[0-9]{1,17}(\.[0-9]{1,13})?%?", fullmatch=True),
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
numbers = st.from_regex(r"[0-9]{1,16}(\.[0-9]{1,12})?", fullmatch=True)
legs = st.fixed_dictionaries(
    {"kind": st.sampled_from(["stop_loss", "take_profit", "trailing_stop", "break_even", "time_stop"]) | values},
    optional={
        "level": numbers | values,
        "trail": numbers.map(lambda n: n + "%") | numbers,
        "activation": numbers,
        "offset": numbers,
        "fraction": numbers,
        "due_at": st.integers(1, 10**9) | values,
    },
)
bodies = st.fixed_dictionaries(
    {
        "instrument": st.just("BTC-USD") | values,
        "side": st.sampled_from(["long", "short"]) | values,
        "quantity": numbers | values,
    },
    optional={
        "stop_loss": numbers | values,
        "take_profit": numbers | values,
        "trailing_stop": numbers | numbers.map(lambda n: n + "%") | values,
        "break_even": st.fixed_dictionaries({"activation": numbers}, optional={"offset": numbers}) | values,
        "time_stop": st.integers(1, 10**9) | st.datetimes().map(lambda at: at.isoformat() + "Z") | values,
        "legs": st.lists(legs, max_size=3) | values,
        "account": values,
        "x": values,
    },
)


@given(body=bodies | values)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_makes_the_site_fail(ada: Caller, body: Any) -> None:
    Quote.objects.update(heard_at=now(), received_at=now())  # so many bodies may take longer than a price stays fresh
    before = stored()
    answer = ada.post(URL, json.dumps(body).encode())
    assert answer.status_code in (201, 400), answer.content
    if answer.status_code == 400:
        assert stored() == before


@given(raw=st.binary(max_size=200) | st.text(alphabet='{}[]":,\\u0d8e1NaN ', max_size=60).map(str.encode))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_the_site_fail(ada: Caller, raw: bytes) -> None:
    assert ada.post(URL, raw).status_code == 400
