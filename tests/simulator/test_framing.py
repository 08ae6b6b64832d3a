"""Frames of RFC 6455."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.simulator import framing
from apps.simulator.framing import Op


def client_frame(op: int, payload: bytes, *, first: int = 0x80, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + size.to_bytes(2, "big") if size < 65536 else b"\xff" + size.to_bytes(8, "big")
    return bytes([first | op]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def test_the_accept_key_is_the_one_of_the_standard():
    assert framing.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_each_length_gets_its_header(size, head):
    payload = b"x" * size
    assert framing.text(payload) == framing.encode(Op.TEXT, payload) == head + payload


def test_a_close_reason_is_cut_between_characters():
    frame = framing.close(1011, "ü" * 100)
    assert frame[1] == 2 + 122
    assert frame[4:].decode() == "ü" * 61


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_messages_survive_any_cutting_of_the_stream(payloads, data):
    stream = b"".join(client_frame(Op.TEXT, payload) for payload in payloads)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    decoder, got = framing.Decoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += list(decoder.feed(stream[start:end]))
    assert got == [(Op.TEXT, payload) for payload in payloads]


def test_a_ping_between_two_fragments_comes_out_first():
    decoder = framing.Decoder()
    stream = client_frame(Op.TEXT, b"ab", first=0) + client_frame(Op.PING, b"p") + client_frame(Op.CONTINUATION, b"cd")
    assert list(decoder.feed(stream)) == [(Op.PING, b"p"), (Op.TEXT, b"abcd")]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        pytest.param(b"\x81\x02hi", 1002, id="not masked"),
        pytest.param(client_frame(Op.TEXT, b"x", first=0xC0), 1002, id="reserved bit"),
        pytest.param(client_frame(0x3, b"x"), 1002, id="unknown type"),
        pytest.param(client_frame(Op.PING, b"x", first=0), 1002, id="fragmented ping"),
        pytest.param(client_frame(Op.PING, b"x" * 126), 1002, id="long ping"),
        pytest.param(client_frame(Op.CONTINUATION, b"x"), 1002, id="continuation of nothing"),
        pytest.param(
            client_frame(Op.TEXT, b"x", first=0) + client_frame(Op.TEXT, b"y"), 1002, id="new message inside another"
        ),
        pytest.param(b"\x81\xff" + (2**21).to_bytes(8, "big") + b"abcd", 1009, id="too big"),
        pytest.param(client_frame(Op.TEXT, b"x" * 600_000, first=0) * 2, 1002, id="two beginnings"),
        pytest.param(
            client_frame(Op.TEXT, b"x" * 600_000, first=0) + client_frame(Op.CONTINUATION, b"x" * 600_000),
            1009,
            id="too big in parts",
        ),
    ],
)
def test_a_breach_names_its_close_code(stream, code):
    with pytest.raises(framing.ProtocolError) as caught:
        list(framing.Decoder().feed(stream))
    assert caught.value.code == code
