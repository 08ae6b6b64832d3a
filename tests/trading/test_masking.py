"""Known secrets are masked wherever text is written down, in every spelling in which they travel."""

import base64
import html
import json
import logging
from collections.abc import Iterator
from io import StringIO
from urllib.parse import quote, quote_plus, urlencode

import pytest
from django.conf import settings
from django.test import RequestFactory
from django.test import override_settings as overridden
from django.views.debug import technical_500_response

from apps.trading import masking
from apps.trading.masking import MASK

SECRET = "s3cr/et+of=a venue&<7741>"
PEM = "-----BEGIN KEY-----\nMHcCAQEEIKqv9\nAbCdEfGhIjKl\n-----END KEY-----\n"


@pytest.fixture(autouse=True)
def known() -> None:
    masking.register(SECRET, PEM)


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What the project's own handler writes."""
    (handler,) = (
        each
        for each in logging.getLogger().handlers
        if isinstance(each, logging.StreamHandler) and any(isinstance(f, masking.SecretsFilter) for f in each.filters)
    )
    text = StringIO()
    before = handler.setStream(text)
    yield text
    handler.setStream(before)


def fail(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        urlencode({"x": SECRET}),
        json.dumps({"x": SECRET}),
        repr(SECRET),
        html.escape(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        f"GET /?token={SECRET}",
        repr({"X-Secret": PEM}),
        json.dumps(PEM),
        PEM,
        "line AbCdEfGhIjKl alone",
    ],
)
def test_every_spelling_is_masked(spelled: str) -> None:
    masked = masking.mask(spelled)
    assert MASK in masked
    for part in (SECRET, "AbCdEfGhIjKl", "MHcCAQEEIKqv9", "7741"):
        assert part not in masked


def test_other_text_stays_as_it_is() -> None:
    assert masking.mask("order 12 of BTC-USD") == "order 12 of BTC-USD"


@pytest.mark.parametrize("word", ["", "abc", "12345"])
def test_a_word_too_short_to_be_a_secret_masks_nothing(word: str) -> None:
    masking.register(word)
    assert masking.mask(f"an order of {word} coins") == f"an order of {word} coins"


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    masking.register("prefix-1234", "prefix-1234-and-more")
    assert masking.mask("x prefix-1234-and-more y") == f"x {MASK} y"


def test_logs_hold_no_secret_in_message_arguments_traceback_or_extras(log: StringIO) -> None:
    logger = logging.getLogger("apps.trading.some_broker")
    logger.warning("asked with %s", SECRET)
    logger.warning("asked with %(x)s", {"x": {"header": PEM}})
    logger.error(f"asked with {SECRET}", extra={"body": SECRET})
    try:
        fail(f"the venue said {SECRET}")
    except ValueError:
        logger.exception("it failed")
    text = log.getvalue()
    assert text.count(MASK) >= 4
    assert "Traceback" in text
    assert not any(part in text for part in (SECRET, "AbCdEfGhIjKl"))


def test_a_message_whose_values_do_not_fit_stops_nobody(log: StringIO) -> None:
    two = "two %s %s"
    logging.getLogger("apps").warning(two, SECRET)
    assert MASK in log.getvalue()
    assert SECRET not in log.getvalue()


def test_the_filter_that_takes_nothing_out_would_be_noticed(log: StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking.SecretsFilter, "filter", lambda *_: True)
    monkeypatch.setattr(masking, "mask", lambda text: text)  # what whole lines go through at the end
    logging.getLogger("apps").warning("asked with %s", SECRET)
    assert SECRET in log.getvalue()


def test_the_sites_own_secret_and_the_passwords_of_servers_are_known() -> None:
    assert settings.SECRET_KEY not in masking.mask(f"key {settings.SECRET_KEY}")
    masking.SecretsFilter(urls=["postgres://app:a-long-pass%2Fword@127.0.0.1/x", "redis://:short@127.0.0.1"])
    assert masking.mask("a-long-pass/word a-long-pass%2Fword short") == f"{MASK} {MASK} short"


@pytest.mark.parametrize("debug", [True, False])
def test_an_error_page_shows_no_secret_of_its_frames(debug: bool) -> None:
    request = RequestFactory().post("/", {"secret": SECRET, "other": "kept"})
    held = {"credential": SECRET, "pem": PEM}
    with overridden(DEBUG=debug):
        try:
            fail(f"with {held['credential']}")
        except ValueError as error:
            page = technical_500_response(request, type(error), error, error.__traceback__).content.decode()
    assert "ValueError" in page
    assert MASK in page
    assert not any(part in page for part in (SECRET, html.escape(SECRET), "AbCdEfGhIjKl"))
