"""May this be entered? Every entry wish is judged under its account's lock, and the answer kept with its reasons."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from apps.domain import numbers
from apps.domain.errors import Problem, Refused, Unavailable
from apps.domain.risk.facts import Facts, Holding, Need, Returns, Wish
from apps.domain.sides import Side
from apps.market.models import Instrument, Quote
from apps.strategies.models import Signal
from apps.trading.models import Account, Decision
from apps.trading.services import gathering, likeness, risk
from apps.trading.services.risk import Limit, Ruled

_LONGEST = Decision._meta.get_field("reason").max_length


@dataclass(slots=True, kw_only=True)
class Asked:
    """A wish to enter, as it is judged. `price` is the expected fill price, None until it is known."""

    account: Account
    instrument: Instrument
    side: Side
    quantity: Decimal  # base units
    price: Decimal | None = None
    quote: Quote | None = None
    strategy_id: int | None = None
    signal_id: int | None = None
    request_key: str | None = None
    actor: str = ""
    source: str = ""  # signal, api, admin, ...
    instead_of: Holding | None = None  # what is given up for it, in negative numbers: an order that is changed

    def wish(self, price: Decimal) -> Wish:
        """Return what rules see of it."""
        return Wish(
            instrument_id=self.instrument.pk,
            symbol=self.instrument.symbol,
            asset=self.instrument.base_currency,
            sign=self.side.sign,
            quantity=self.quantity,
            price=price,
            strategy_id=self.strategy_id,
        )


class Forbidden(Refused):
    """Risk limits, or other rules together with them, said no; carries what every limit said."""

    def __init__(self, problems: Sequence[Problem], ruled: Sequence[Ruled]) -> None:
        super().__init__(*problems)
        self.ruled = ruled


def decide(asked: Asked, *, now: datetime, problems: Sequence[Problem] = ()) -> Decision:
    """Judge one wish under its account's lock and return the approved decision, not stored yet.

    `problems` is what else is wrong with it. Raises Forbidden with those and every limit's refusal; wrap the whole
    transaction in `recorded`, so that a refusal is kept.
    """
    with explaining(asked, now):
        return Sitting(now).decide(asked, problems)


class Sitting:
    """The decisions of one transaction: limits and facts of an account are read once, what is granted counts on."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._accounts: dict[int, _State] = {}

    def decide(self, asked: Asked, problems: Sequence[Problem] = ()) -> Decision:
        """Return the approved decision, not stored. Raises Forbidden. The account must be locked."""
        state = self._state(asked.account)
        limits = [each for each in state.limits if each.applies(*_target(asked))]
        ruled: list[Ruled] = []
        if limits and asked.price is not None:
            wish = asked.wish(asked.price)
            facts = self._facts(asked, state, limits, wish)
            ruled = [risk.judge(limit, facts) for limit in limits]
        found = [*problems, *(each.verdict.problem for each in ruled if not each.verdict.allowed)]
        if found:
            raise Forbidden(found, ruled)
        if state.facts is not None and asked.price is not None:
            state.facts = state.facts.after(asked.wish(asked.price))
        return _decision(asked, self._now, approved=True, ruled=ruled)

    def _state(self, account: Account) -> "_State":
        if account.pk not in self._accounts:
            self._accounts[account.pk] = _State(account, risk.limits(account))
        return self._accounts[account.pk]

    def _facts(self, asked: Asked, state: "_State", limits: Sequence[Limit], wish: Wish) -> Facts:
        if state.facts is None:
            state.facts = gathering.of_account(state.account, risk.needs(state.limits), self._now)
        needs = risk.needs(limits)
        given_up = () if asked.instead_of is None else (asked.instead_of,)
        return replace(
            state.facts,
            holdings=(*state.facts.holdings, *given_up),
            wish=wish,
            price=gathering.price_of(asked.quote, self._now) if Need.QUOTE in needs else None,
            session=gathering.session_of(asked.instrument, self._now) if Need.SESSION in needs else None,
            returns=_returns(state.facts, wish, self._now) if Need.RETURNS in needs else {},
        )


@dataclass(slots=True)
class _State:
    """One account of a sitting."""

    account: Account
    limits: list[Limit]
    facts: Facts | None = None


def strategies(signal_ids: Sequence[int | None]) -> dict[int, int]:
    """Return the strategy of each signal."""
    wanted = {each for each in signal_ids if each is not None}
    return dict(Signal.objects.filter(pk__in=wanted).values_list("pk", "strategy_id")) if wanted else {}


def prepare(pairs: Collection[tuple[int, int]], now: datetime) -> None:
    """Read ahead what decisions on these accounts and instruments need that takes long, before anything is locked."""
    if not risk.anyone_needs(Need.RETURNS):
        return
    for account in Account.objects.filter(pk__in={account_id for account_id, _ in pairs}):
        held = {each.instrument_id for each in gathering.of_account(account, {Need.HOLDINGS}, now).holdings}
        for instrument_id in {wanted for account_id, wanted in pairs if account_id == account.pk}:
            for other in held - {instrument_id}:
                likeness.correlation(instrument_id, other, now)


# --- refusals -------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Kept:
    """Decisions that wait for the end of the transaction they are no part of."""

    refused: list[Decision] = field(default_factory=list)


_kept: ContextVar[_Kept | None] = ContextVar("refused decisions", default=None)


@contextmanager
def recorded() -> Iterator[None]:
    """Store every refusal noted inside, in a transaction of its own after the one inside was rolled back.

    Stand outside the transaction. Inside another `recorded` it leaves the storing to that one.
    """
    if _kept.get() is not None:
        yield
        return
    kept = _Kept()
    token = _kept.set(kept)
    try:
        yield
    except (Refused, Unavailable):
        _store(kept)
        raise
    else:
        _store(kept)
    finally:
        _kept.reset(token)


@contextmanager
def explaining(asked: Asked, now: datetime) -> Iterator[None]:
    """Note whatever refuses the wish inside, rule or not, so that "why not?" has an answer; then let it go on.

    What was noted already further inside is not noted twice.
    """
    try:
        yield
    except (Refused, Unavailable) as error:
        if not getattr(error, "is_noted", False):
            error.is_noted = True  # type: ignore[union-attr] # a mark on this one exception
            _note(_refusal(asked, error, now))
        raise


def _note(decision: Decision) -> None:
    kept = _kept.get()
    if kept is None:
        _store(_Kept([decision]))
    else:
        kept.refused.append(decision)


def _store(kept: _Kept) -> None:
    if kept.refused:
        with transaction.atomic():
            Decision.objects.bulk_create(kept.refused)


def _refusal(asked: Asked, error: Refused | Unavailable, now: datetime) -> Decision:
    ruled = error.ruled if isinstance(error, Forbidden) else ()
    return _decision(asked, now, approved=False, ruled=ruled, reason=str(error))


def _decision(asked: Asked, now: datetime, *, approved: bool, ruled: Sequence[Ruled], reason: str = "") -> Decision:
    return Decision(
        account=asked.account,
        instrument=asked.instrument,
        strategy_id=asked.strategy_id,
        signal_id=asked.signal_id,
        side=asked.side,
        quantity=_storable(asked.quantity) or Decimal(0),  # the reason says what it was
        price=_storable(asked.price),
        approved=approved,
        reason=reason[:_LONGEST],
        verdicts=[each.as_json() for each in ruled],
        request_key=asked.request_key,
        actor=asked.actor,
        source=asked.source or ("signal" if asked.signal_id else ""),
        at=now,
    )


def _storable(value: Decimal | None) -> Decimal | None:
    return numbers.stored(value) if value is not None and value.is_finite() and abs(value) < numbers.LIMIT else None


def _target(asked: Asked) -> tuple[int, int | None, int]:
    return asked.account.pk, asked.strategy_id, asked.instrument.pk


def _returns(facts: Facts, wish: Wish, now: datetime) -> dict[int, Returns]:
    others = {each.instrument_id: each.symbol for each in facts.holdings if each.instrument_id != wish.instrument_id}
    return {
        other: Returns(symbol=symbol, correlation=likeness.correlation(wish.instrument_id, other, now))
        for other, symbol in others.items()
    }
