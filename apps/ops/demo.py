"""What a first run shows: eight instruments, an account with play money, and two strategies it follows.

The brackets fit a market whose price moves by about 0.067 % in a second (standard deviation): a level 0.1 % away is
reached after some two seconds, one 0.2 % away after nine. With bars of two and three seconds each instrument gives
almost one signal a second, so that a minute sees a few hundred positions come and go by all four ways out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db import transaction

from apps.backtests.services import gate
from apps.domain.backtests.conventions import Entries
from apps.domain.backtests.gate import Stage
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.ops import careful
from apps.strategies.models import Strategy
from apps.strategies.services import stages
from apps.trading.models import Account, Allocation
from apps.trading.services import accounts

ACCOUNT: Final = "Demo"
GRIDS: Final = {  # price step, quantity step: those the venue lists
    "BTC-USD": ("0.01", "0.00000001"),
    "ETH-USD": ("0.01", "0.00000001"),
    "SOL-USD": ("0.01", "0.00000001"),
    "XRP-USD": ("0.0001", "0.000001"),
    "ADA-USD": ("0.0001", "0.00000001"),
    "DOGE-USD": ("0.00001", "0.1"),
    "LTC-USD": ("0.01", "0.00000001"),
    "LINK-USD": ("0.001", "0.01"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """A strategy of the demo and how the account follows it."""

    name: str
    plugin: str
    parameters: dict[str, Any]
    bar_seconds: int
    bracket: dict[str, Any]  # rates, and seconds for the time stop


FOLLOWERS: Final = (
    Follower(
        name="Demo momentum",
        plugin="momentum",
        parameters={"lookback": 2},
        bar_seconds=2,
        bracket={
            "max_lots": 12,
            "stop_loss": Decimal("0.001"),
            "take_profit": Decimal("0.0025"),
            "trailing_stop": Decimal("0.0014"),
            "time_stop": 20,
        },
    ),
    Follower(
        name="Demo reversion",
        plugin="rsi_reversion",
        parameters={"length": 2, "low": 45.0, "high": 55.0},
        bar_seconds=3,
        bracket={
            "max_lots": 8,
            "stop_loss": Decimal("0.002"),
            "take_profit": Decimal("0.001"),
            "time_stop": 8,
        },
    ),
)
ACTOR: Final = "demo"
WHY: Final = "The demo shows trading; its strategies are not meant to earn."
STEPS: Final = ("strategy.voided", "strategy.promoted", "strategy.overruled", "strategy.moved")
NOTIONAL: Final = Decimal(100)  # a lot; costs some 0.2 a round trip, so that the play money lasts for days


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load made; all of it empty when everything was there. `unknown` are instruments without a known grid."""

    instruments: tuple[str, ...] = ()
    account: str = ""
    strategies: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def load(*, owner_id: int, now: datetime) -> Loaded:
    """Make what is missing of the demo for an owner, the admin; what is there stays as a person left it.

    Once the account exists nothing but missing instruments is made, so that what a person removed stays removed.
    """
    with transaction.atomic():
        made = add_instruments()
        unknown = tuple(symbol for symbol in settings.INSTRUMENTS if symbol not in GRIDS)
        if Account.objects.filter(owner_id=owner_id, name=ACCOUNT).exists():
            _renew()
            return Loaded(instruments=tuple(made), unknown=unknown)
        account = accounts.open_account(owner_id=owner_id, name=ACCOUNT, deposit=settings.PAPER_CASH, now=now)
        careful.bind(account)
        known = list(Instrument.objects.filter(symbol__in=GRIDS))
        strategies = [follower.name for follower in FOLLOWERS if _strategy(follower, account, known)]
    return Loaded(instruments=tuple(made), account=ACCOUNT, strategies=tuple(strategies), unknown=unknown)


def add_instruments() -> list[str]:
    """Make the settings' instruments whose steps are known and that are missing; return the new ones."""
    return [symbol for symbol in settings.INSTRUMENTS if symbol in GRIDS and _instrument(symbol)]


def _instrument(symbol: str) -> bool:
    tick, lot = GRIDS[symbol]
    base, _, quote = symbol.partition("-")
    _, created = Instrument.objects.get_or_create(
        symbol=symbol,
        defaults={
            "base_currency": base,
            "quote_currency": quote,
            "tick_size": Decimal(tick),
            "lot_size": Decimal(lot),
            "min_quantity": Decimal(lot),
        },
    )
    return created


def _strategy(follower: Follower, account: Account, instruments: Sequence[Instrument]) -> bool:
    strategy, created = Strategy.objects.get_or_create(
        name=follower.name,
        defaults={
            "plugin": follower.plugin,
            "parameters": follower.parameters,
            "bar_seconds": follower.bar_seconds,
            "enabled": True,
        },
    )
    if created:
        strategy.instruments.set(instruments)
        _to_paper(strategy)
    Allocation.objects.get_or_create(
        strategy=strategy,
        account=account,
        # On every bar and left by its own legs alone: there is to be much to look at.
        defaults={"notional": NOTIONAL, "entries": Entries.LEVEL, "exit_on_signal": False, **follower.bracket},
    )
    return created


def _to_paper(strategy: Strategy) -> None:
    """Let a strategy of the demo trade without evidence: it is there to show what happens, not to earn."""
    for stage in (Stage.BACKTESTED, Stage.PAPER):
        gate.override(strategy.pk, stage, reason=WHY, actor=ACTOR)


def _renew() -> None:
    """Bring the demo's strategies back that fell to draft because an update of the site changed their code."""
    for follower in FOLLOWERS:
        own = {"plugin": follower.plugin, "parameters": follower.parameters, "bar_seconds": follower.bar_seconds}
        strategy = Strategy.objects.filter(name=follower.name, **own).first()
        if strategy is None:
            continue
        stages.void_if_changed(strategy, actor=ACTOR)
        last = Event.objects.filter(subject=f"strategy:{strategy.pk}", kind__in=STEPS).order_by("-id").first()
        if strategy.stage == Stage.DRAFT and last is not None and last.kind == STEPS[0]:
            _to_paper(strategy)
