"""Large answers travel packed where that is safe."""

import gzip
import json

from django.test import Client

from tests.web.conftest import Caller, make_instrument

URL = "/api/v1/instruments"


def fill() -> None:
    for number in range(20):
        make_instrument(f"N{number}-USD")


def test_a_large_answer_is_packed_for_who_takes_it(ada: Caller) -> None:
    fill()
    plain = ada.get(URL)
    packed = ada.get(URL, **{"accept-encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.content)) == plain.json()
    assert len(packed.content) * 3 < len(plain.content)
    assert "Accept-Encoding" in packed.headers["Vary"]


def test_a_small_one_is_not(ada: Caller) -> None:
    assert "Content-Encoding" not in ada.get(URL, **{"accept-encoding": "gzip"}).headers


def test_nor_what_a_foreign_page_could_make_a_browser_ask_for(ada: Caller) -> None:
    fill()
    browser = Client()
    browser.force_login(ada.user)
    assert "Content-Encoding" not in browser.get(URL, headers={"accept-encoding": "gzip"}).headers


def test_a_tag_of_a_packed_answer_still_spares_the_next_one(ada: Caller) -> None:
    fill()
    address = "/api/v1/market/instruments"
    first = ada.get(address, **{"accept-encoding": "gzip"})
    assert first.headers["Content-Encoding"] == "gzip"
    again = ada.get(address, **{"accept-encoding": "gzip", "if-none-match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
