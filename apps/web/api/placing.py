"""From a request body to the trading services: whose account, which instrument, which legs; and repeats recognised."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from apps.domain import numbers
from apps.domain.errors import Problem, Refused
from apps.domain.legs import Leg, LegKind
from apps.domain.orders import OrderKind, TimeInForce
from apps.journal import services as journal
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading import selectors
from apps.trading.models import Account
from apps.trading.services import deciding, entering, positions
from apps.trading.services.entering import Entered, Entry
from apps.web.api.fields import Trail
from apps.web.problems import KeyReused

ACCEPTED = "request.accepted"
_KEY = re.compile(r"[\x21-\x7e]{1,64}")


def enter(user: selectors.Caller, body: Mapping[str, Any], *, key: str | None, actor: str, now: datetime) -> Entered:
    """Enter what a body describes, or return what its key entered before.

    Raises Refused, KeyReused, NoQuote.
    """
    account = _account(user, body.get("account"))
    request_key = _checked(key)
    entered = _earlier(account, request_key) or _enter(account, body, request_key, actor, now)
    if not entered.created:
        _refuse_other_body(entered, body, str(request_key))
    return entered


def legs_by_kind(body: Mapping[str, Any], now: datetime) -> dict[LegKind, list[Leg]]:
    """Return the legs a body names per kind; a kind that is null has none."""
    found: dict[LegKind, list[Leg]] = {kind: [] for kind in LegKind if kind in body}
    for leg in _legs(body, now):
        found.setdefault(leg.kind, []).append(leg)
    return found


def _earlier(account: Account, request_key: str | None) -> Entered | None:
    if request_key is None:
        return None
    order = selectors.order_of_request(account.pk, request_key)
    position = order.position if order else selectors.of_request(account.pk, request_key)
    return Entered(position=position, order=order, created=False) if order or position else None


def _enter(account: Account, body: Mapping[str, Any], request_key: str | None, actor: str, now: datetime) -> Entered:
    # Outside the transaction, so that a refusal is kept although the transaction is not.
    with deciding.recorded(), transaction.atomic():
        entered = entering.enter(_wish(account, body, request_key, actor, now), now=now)
        if entered.created and request_key is not None:
            _remember(entered, account, body, request_key, actor)
    return entered


def _wish(account: Account, body: Mapping[str, Any], request_key: str | None, actor: str, now: datetime) -> Entry:
    legs = legs_by_kind(body, now)
    opening = positions.Opening(
        account_id=account.pk,
        instrument_id=_instrument(body["instrument"]).pk,
        side=body["side"],
        quantity=body["quantity"],
        legs=tuple(leg for group in legs.values() for leg in group),
        actor=actor,
        request_key=request_key,
        source="api",
    )
    return Entry(
        opening=opening,
        kind=body.get("kind", OrderKind.MARKET),
        tif=body.get("tif", TimeInForce.GTC),
        limit_price=body.get("limit_price"),
        stop_price=body.get("stop_price"),
        expires_at=_at(body.get("expires_at"), now),
        due_at=_at(body.get("due_at"), now),
    )


def _at(due: datetime | timedelta | None, now: datetime) -> datetime | None:
    return now + due if isinstance(due, timedelta) else due


def _remember(entered: Entered, account: Account, body: Mapping[str, Any], request_key: str, actor: str) -> None:
    """Write down what the key asked for, so that a repeat can be told from another wish under the same key."""
    payload = {"key": request_key, "asked": _told(body)}
    journal.record(ACCEPTED, _subject(entered), account_id=account.pk, actor=actor, payload=payload)


def _subject(entered: Entered) -> str:
    if entered.order is not None:
        return f"order:{entered.order.pk}"
    assert entered.position is not None
    return f"position:{entered.position.pk}"


def _account(user: selectors.Caller, account_id: int | None) -> Account:
    if account_id is not None:
        account = selectors.for_user(user).filter(pk=account_id).first()
        remedy = "choose one of /api/v1/accounts, or leave the field out"
        rule = "is not the id of an account of yours"
    else:
        account = selectors.default_account(user)
        remedy = "open one in the admin under Trading, Accounts, with you as its owner and a first deposit"
        rule = "you have no account to trade on"
    if account is None:
        value = "nothing" if account_id is None else str(account_id)
        raise Refused(Problem(field="account", value=value, rule=rule, remedy=remedy))
    return account


def _instrument(symbol: str) -> Instrument:
    instrument = Instrument.objects.filter(symbol=symbol).first()
    if instrument is None:
        rule, remedy = "is not an instrument of this site", "choose one of /api/v1/instruments"
        raise Refused(Problem(field="instrument", value=symbol, rule=rule, remedy=remedy))
    return instrument


def _checked(key: str | None) -> str | None:
    if key is not None and not _KEY.fullmatch(key):
        rule, remedy = "must be 1 to 64 printable ASCII characters without spaces", "use a UUID for example"
        raise Refused(Problem(field="Idempotency-Key", value=key, rule=rule, remedy=remedy))
    return key


def _legs(body: Mapping[str, Any], now: datetime) -> Iterator[Leg]:
    for kind in LegKind:
        if (value := body.get(kind)) is not None:
            yield _leg(kind, _alone(kind, value), now)
    for leg in body.get("legs") or ():
        yield _leg(leg["kind"], leg, now)


def _alone(kind: LegKind, value: Any) -> dict[str, Any]:
    """Return what a key of its own says, in the words of a leg."""
    match kind:
        case LegKind.BREAK_EVEN:
            return dict(value)
        case LegKind.TRAILING_STOP:
            return {"trail": value}
        case LegKind.TIME_STOP:
            return {"due_at": value}
        case _:
            return {"level": value}


def _leg(kind: LegKind, said: Mapping[str, Any], now: datetime) -> Leg:
    trail: Trail | None = said.get("trail")
    due = said.get("due_at")
    return Leg(
        kind=kind,
        fraction=said.get("fraction", Decimal(1)),
        level=said.get("level"),
        offset=said.get("offset", Decimal(0)) if kind is LegKind.BREAK_EVEN else None,
        activation=said.get("activation"),
        trail=trail.distance if trail else None,
        trail_is_rate=bool(trail and trail.is_rate),
        due_at=_at(due, now),
    )


def _refuse_other_body(entered: Entered, body: Mapping[str, Any], key: str) -> None:
    """Refuse a repeated key whose body asks for something else than its first request did."""
    subject = _subject(entered)
    first = Event.objects.filter(subject=subject, kind=ACCEPTED).first()
    if first is None or first.payload["asked"] == _told(body):
        return
    rule = f"was used before, with another body, for {subject.replace(':', ' ')}"
    raise KeyReused(Problem(field="Idempotency-Key", value=key, rule=rule, remedy="use a new key for a new wish"))


def _told(value: Any) -> Any:
    """Return what a request asked for as plain JSON, equal for bodies that mean the same."""
    if isinstance(value, Mapping):
        return {str(key): _told(item) for key, item in value.items() if item is not None and key != "account"}
    if isinstance(value, list):
        return [_told(item) for item in value]
    if isinstance(value, Trail):
        return f"{numbers.plain(value.distance)}{' rate' if value.is_rate else ''}"
    return numbers.plain(value) if isinstance(value, Decimal) else str(value)
