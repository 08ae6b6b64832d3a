"""What risk rules look at: the state of one account as plain values, gathered once, and the wish that is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from apps.domain.restrictions import Scope

ZERO = Decimal(0)


class Need(StrEnum):
    """What a rule must be told; nothing else is gathered."""

    MONEY = "money"  # equity and cash; brings the holdings along
    HOLDINGS = "holdings"  # what is held and what working entry orders hold back
    HISTORY = "history"  # the day's first and worst equity, the peak
    CLOSINGS = "closings"  # the last positions that were closed
    RATE = "rate"  # orders of the last minute
    QUOTE = "quote"  # the last price of the wanted instrument
    SESSION = "session"  # whether its market trades
    RETURNS = "returns"  # how its candles move with those of what is held


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An entry that is asked for."""

    instrument_id: int
    symbol: str
    asset: str  # the base currency
    sign: int  # +1 long, -1 short
    quantity: Decimal  # base units
    price: Decimal  # the price it is expected to fill at
    strategy_id: int | None = None

    @property
    def value(self) -> Decimal:
        """What it is worth, in the account's currency."""
        return self.quantity * self.price


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """The lots of one instrument, side and strategy together; `working` ones are entry orders not filled yet."""

    instrument_id: int
    symbol: str
    asset: str
    sign: int
    quantity: Decimal
    value: Decimal  # at the last price, never negative
    lots: int = 1
    strategy_id: int | None = None
    working: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """A position that was closed: what it earned after fees, when, and whether a stop did it."""

    at: datetime
    net: Decimal
    stopped: bool
    instrument_id: int
    strategy_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the account was worth before. Amounts count as if all that was paid in since had been there already."""

    day_start: Decimal  # the equity at the start of the UTC day
    worst_today: Decimal  # the lowest gain of the day so far, negative is a loss; the present one not included
    peak: Decimal  # the highest equity so far; the present one not included


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The last quote of the wanted instrument."""

    last: Decimal
    bid: Decimal | None
    ask: Decimal | None
    age: timedelta  # since the feed last said anything about it


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """How the market of the wanted instrument stands."""

    phase: str  # open, pre, post, closed or unknown
    calendar: str
    detail: str = ""  # when it opens, or why that is not known
    since_open: timedelta | None = None  # None where it never closes
    until_close: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Returns:
    """How the wanted instrument moved with one that is held, by the closes of their candles."""

    symbol: str
    correlation: float | None  # None where too few candles are known


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """Entries that were approved in the last minute, of one instrument and strategy."""

    orders: int
    instrument_id: int
    strategy_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One account at one instant. What no rule asked for is None or empty; scope and target narrow what is counted."""

    now: datetime
    account_id: int
    wish: Wish | None = None
    scope: Scope = Scope.SITE
    target: int = 0
    currency: str = ""
    cash: Decimal | None = None
    equity: Decimal | None = None
    capital: Decimal | None = None  # what was paid in so far, less what was taken out
    history: History | None = None
    holdings: tuple[Holding, ...] = ()
    closings: tuple[Closing, ...] = ()  # the newest first
    recent: tuple[Recent, ...] = ()
    price: Price | None = None
    session: Session | None = None
    returns: Mapping[int, Returns] = field(default_factory=dict)  # by the instrument that is held

    def within(self, scope: Scope, target: int) -> "Facts":
        """Return the same facts as a limit of that scope counts them."""
        return replace(self, scope=scope, target=target)

    def concerning(self, wish: Wish | None) -> "Facts":
        """Return the same facts for another wish; what belongs to its instrument must be given anew."""
        return replace(self, wish=wish)

    def after(self, wish: Wish) -> "Facts":
        """Return what will be so once a wish was granted, so that the next one of a batch sees it as held."""
        taken = Holding(
            instrument_id=wish.instrument_id,
            symbol=wish.symbol,
            asset=wish.asset,
            sign=wish.sign,
            quantity=wish.quantity,
            value=wish.value,
            strategy_id=wish.strategy_id,
        )
        placed = Recent(orders=1, instrument_id=wish.instrument_id, strategy_id=wish.strategy_id)
        return replace(self, holdings=(*self.holdings, taken), recent=(*self.recent, placed))

    @property
    def held(self) -> Sequence[Holding]:
        """What is held or held back in the scope."""
        return [each for each in self.holdings if self._counts(each.instrument_id, each.strategy_id)]

    @property
    def closed(self) -> Sequence[Closing]:
        """What was closed in the scope, the newest first."""
        return [each for each in self.closings if self._counts(each.instrument_id, each.strategy_id)]

    @property
    def orders(self) -> int:
        """How many entries were approved in the scope in the last minute."""
        return sum(each.orders for each in self.recent if self._counts(each.instrument_id, each.strategy_id))

    @property
    def gross(self) -> Decimal:
        """What everything in the scope is worth, longs and shorts added."""
        return sum((each.value for each in self.held), ZERO)

    @property
    def net(self) -> Decimal:
        """Longs less shorts in the scope."""
        return sum((each.sign * each.value for each in self.held), ZERO)

    def _counts(self, instrument_id: int, strategy_id: int | None) -> bool:
        if self.scope is Scope.STRATEGY:
            return strategy_id == self.target
        return self.scope is not Scope.INSTRUMENT or instrument_id == self.target
