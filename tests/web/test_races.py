"""Requests that meet each other: one wins, the others are told, nothing is done twice."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from apps.trading.models import Exit, Fill, Position
from tests.web.conftest import Caller

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/api/v1/positions"
CALLERS = 6
BODY = {"instrument": "BTC-USD", "side": "long", "quantity": "0.5", "break_even": {"activation": "63000"}}


def together(ask: Callable[[int], Any]) -> list[Any]:
    """Let several threads ask at the same moment; return their answers."""
    gate = Barrier(CALLERS)

    def run(number: int) -> Any:
        try:
            gate.wait(10)
            return ask(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(run, range(CALLERS)))


def test_one_key_sent_at_once_opens_one_position(ada: Caller) -> None:
    answers = together(lambda _: Caller(ada.user, ada.token).post(URL, BODY, **{"idempotency-key": "k"}))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: CALLERS - 1}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Position.objects.count() == Fill.objects.count() == 1


def test_without_a_key_each_request_is_a_wish_of_its_own(ada: Caller) -> None:
    answers = together(lambda _: Caller(ada.user, ada.token).post(URL, BODY))
    assert [answer.status_code for answer in answers] == [201] * CALLERS
    assert Position.objects.count() == CALLERS


def test_two_bodies_under_one_key_sent_at_once_open_one_position(ada: Caller) -> None:
    answers = together(
        lambda number: Caller(ada.user, ada.token).post(
            URL, {**BODY, "quantity": f"0.{number % 2 + 1}"}, **{"idempotency-key": "k"}
        )
    )
    counted = Counter(answer.status_code for answer in answers)
    assert (counted[201], counted[200], counted[422]) == (1, CALLERS // 2 - 1, CALLERS // 2)
    assert Position.objects.count() == 1


def test_closes_sent_at_once_make_one_exit_and_name_it(ada: Caller) -> None:
    id_ = ada.open()["id"]
    answers = together(lambda _: Caller(ada.user, ada.token).post(f"{URL}/{id_}/close"))
    assert Counter(answer.status_code for answer in answers) == {202: 1, 409: CALLERS - 1}
    (won,) = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    assert {answer.json()["exit_id"] for answer in answers if answer.status_code == 409} == {won}
    assert Exit.objects.count() == 1
