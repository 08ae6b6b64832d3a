"""Where an account's orders go, as whom, and whether they may move real money."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.domain.errors import Problem, Refused
from apps.domain.restrictions import Scope
from apps.domain.states import ENDED_ORDERS, PositionStatus
from apps.domain.strategies import parameters
from apps.journal import services as journal
from apps.trading import bell, locks
from apps.trading.models import Account, Credential
from apps.trading.services import keying, keys, switches, withdrawing
from apps.trading.services.switches import PAPER


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where orders are to go: a broker, who we are there, and what the broker lets one choose."""

    broker: str
    credential_id: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def connect(account_id: int, route: Route, *, actor: str = "") -> Account:
    """Let an account's orders go elsewhere. Raises Refused with every problem found.

    Nothing changes while the account may move real money. Its broker and key stay, and so does the way its orders are
    filled, while a position or an order is there: it would be left at a venue that has never heard of it.
    """
    with transaction.atomic():
        account = locks.account(account_id)
        problems, options = _options(route)
        problems += _wrong_credential(account, route)
        instant = route.broker == PAPER and not options
        # What is filled is called by broker and execution: elsewhere the same name would mean something else.
        stays = (route.broker, route.credential_id, instant) == (account.broker, account.credential_id, account.instant)
        if not stays:
            problems += _occupied(account)
        if account.live:
            problems.append(_problem("live", account.name, "trades real money", "switch that off first"))
        if problems:
            raise Refused(*problems)
        account.broker, account.credential_id = route.broker, route.credential_id
        account.broker_options, account.instant = options, instant
        account.save(update_fields=["broker", "credential", "broker_options", "instant"])
        _record("account.connected", account, actor, {"options": options, "instant": instant})
    return account


def go_live(account_id: int, *, typed_name: str, now: datetime, actor: str) -> Account:
    """Let an account move real money: its name is typed, and the venue is asked what the key may do.

    The site's own switch, LIVE_TRADING, is asked for at every order besides. Raises Refused, KeyUnusable.
    """
    account = Account.objects.select_related("credential").get(pk=account_id)
    _ready(account, typed_name)
    assert account.credential is not None
    _vouched(keys.check(account.credential, now=now, actor=actor))
    with transaction.atomic():
        locked = locks.account(account_id)
        if (locked.broker, locked.credential_id) != (account.broker, account.credential_id):
            raise Refused(_problem("broker", account.name, "was changed meanwhile", "look at the account again"))
        locked.live = True
        locked.save(update_fields=["live"])
        _record("account.live_enabled", locked, actor, {})
    return locked


def leave_live(account_id: int, *, now: datetime, actor: str) -> int:
    """Take the account's switch back, which nothing refuses; return how many positions it leaves to their exits.

    Entries end with it: those that work are asked back. Exits and stops at the venue go on.
    """
    with transaction.atomic():
        account = locks.account(account_id)
        held = open_positions(account) if switches.is_real(account) else 0
        account.live = False
        account.save(update_fields=["live"])
        _record("account.live_disabled", account, actor, {"open_positions": held})
    why = f"{account.name} may not enter with real money any more"
    withdrawing.withdraw(Scope.ACCOUNT, account.pk, now=now, why=why, actor=actor)
    return held


def open_positions(account: Account) -> int:
    """Return how many positions an account has that are not closed."""
    return account.positions.exclude(status=PositionStatus.CLOSED).count()


def _options(route: Route) -> tuple[list[Problem], dict[str, Any]]:
    """Return what is wrong with the options, and those that differ from the broker's own."""
    try:
        keys.plugin_of(route.broker)
        fields = keying.declared(route.broker)
        known = {} if fields is None else parameters.properties(fields)
        for name in keying.words(route.broker):  # the key has them
            del known[name]
        foreign = [
            _problem("options", name[:40], f"is not an option of {route.broker}", "leave it out")
            for name in route.options.keys() - known.keys()
        ]
        if foreign or fields is None:
            return foreign, {}
        chosen = parameters.chosen(fields, route.options)
    except Refused as refused:
        return list(refused.problems), {}
    return [], {name: value for name, value in chosen.items() if value != known[name]["default"]}


def _wrong_credential(account: Account, route: Route) -> list[Problem]:
    if route.credential_id is None:
        remedy = "store its key first, then choose it"
        return [] if route.broker == PAPER else [_problem("credential", route.broker, "asks for a key", remedy)]
    row = Credential.objects.filter(pk=route.credential_id, owner_id=account.owner_id).first()
    if row is None:
        rule, remedy = "is no credential of the account's owner", "choose another one"
        return [_problem("credential", f"#{route.credential_id}", rule, remedy)]
    if row.broker != route.broker:
        rule, remedy = f"is for {row.broker}, not for {route.broker}", "choose another one, or that broker"
        return [_problem("credential", row.name, rule, remedy)]
    return [keying.may_withdraw(row.name)] if row.may_withdraw else []


def _occupied(account: Account) -> list[Problem]:
    held = open_positions(account)
    working = account.orders.exclude(status__in=ENDED_ORDERS).count()
    if not held and not working:
        return []
    rule = f"has {held} open positions and {working} working orders where it is"
    return [_problem("broker", account.name, rule, "close them first, or open another account")]


def _ready(account: Account, typed_name: str) -> None:
    """Raise Refused unless an account may be let to move real money, as far as our own rows know."""
    credential = account.credential
    problems = []
    if typed_name != account.name:
        problems.append(_problem("typed_name", typed_name[:80], "is not the account's name", f"type {account.name}"))
    if account.broker == PAPER:
        problems.append(_problem("broker", PAPER, "moves no real money", "choose another broker first"))
    elif credential is None:
        problems.append(_problem("credential", account.name, "has no credential", "choose one first"))
    elif not switches.is_real(account):
        rule = "trades in a sandbox, which needs no switch"
        problems.append(_problem("credential", credential.name, rule, "choose a credential of the real venue first"))
    if problems:
        raise Refused(*problems)


def _vouched(checked: keys.Checked) -> None:
    """Raise Refused unless the venue has just said that it takes the key's orders."""
    name = checked.credential.name
    if not checked.answered:
        rule = f"could not be checked ({checked.trouble})"
        raise Refused(_problem("credential", name, rule, "try again when the venue answers"))
    if checked.credential.may_trade is False:
        raise Refused(_problem("credential", name, "may not trade, says the venue", "look there, or take another key"))


def _record(kind: str, account: Account, actor: str, facts: Mapping[str, Any]) -> None:
    payload = {
        "name": account.name,
        "broker": account.broker,
        "credential": account.credential.name if account.credential else None,
        **facts,
    }
    journal.record(kind, f"account:{account.pk}", account_id=account.pk, actor=actor, payload=payload)
    bell.announce_after_commit()


def _problem(name: str, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=name, value=value, rule=rule, remedy=remedy)
