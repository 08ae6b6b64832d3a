"""Where a client stands, as text: nothing is lost in writing it down."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from apps.web.gateway.place import LONGEST, MOST, Place
from apps.web.gateway.resuming import Had

numbers = some.integers(1, 400)


@some.composite
def places(draw: some.DrawFn) -> Place:
    head = draw(some.integers(2, 400))
    return Place(head, draw(some.frozensets(some.integers(1, head - 1), max_size=60)))


def has(place: Place) -> set[int]:
    return {number for number in range(1, 500) if place.passed(number)}


@given(places())
def test_a_place_read_again_is_the_same(place: Place) -> None:
    assert Place.of(place.text()) == place
    assert len(place.text()) <= LONGEST + 20


@given(places(), some.frozensets(numbers, max_size=20))
def test_who_has_more_lacks_nothing_of_it(place: Place, more: frozenset[int]) -> None:
    assert has(place.also(more)) == has(place) | more


@given(places(), some.integers(1, 400), some.sets(numbers))
def test_on_the_way_to_a_place_one_has_what_was_visible_below_and_what_was_sent(
    place: Place, last: int, sent: set[int]
) -> None:
    sent.add(last)
    visible = {number for number in range(1, last + 1) if number not in place.missing}
    assert has(place.up_to(last, sent)) == visible | {number for number in sent if number <= last}


@given(places(), places())
def test_what_a_client_had_before_is_not_offered_and_what_it_lacks_is(at: Place, since: Place) -> None:
    had = Had()
    had.resumed(["events"], since, at)
    to_come = {number for number in range(1, 500) if not at.passed(number)}
    assert {number for number in to_come if had.has(number, "events")} == to_come & has(since)
    assert has(had.place(at, at)) == has(at) | (to_come & has(since))


def test_too_many_gaps_become_a_number_below_them() -> None:
    place = Place(10_000, frozenset(range(2, 4 * MOST, 2)))
    assert place.text() == "1"
    assert has(Place.of(place.text())) < has(place), "what may come again, but is not lost"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1",
        "1:",
        "1:1",
        "5:0",
        "5:9",
        "5:3-1",
        "5:1,",
        "9" * 20,
        str(2**63),
        "1000:1-999",
        "5:1 ",
        "٣",
        "5:1;2",
    ],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"place|gaps"):
        Place.of(text)
