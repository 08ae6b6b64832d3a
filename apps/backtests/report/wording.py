"""How are numbers written in a report? With thousands separators, a real minus sign, and the unit beside them."""

from datetime import UTC, datetime
from typing import Any

from apps.domain.backtests import catalogue

NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
DAY = 86_400


def money(value: float, *, signed: bool = False) -> str:
    return _number(value, 2, signed)


def percent(value: float, *, signed: bool = False, places: int = 2) -> str:
    return f"{_number(value, places, signed)} %"


def price(value: float) -> str:
    """Write a price with as many decimals as its size asks for."""
    size = abs(value)
    places = 2 if size >= 10 else 4 if size >= 0.1 else 8
    return _number(value, places, False)


def count(value: float) -> str:
    return _number(value, 0, False)


def quantity(value: float) -> str:
    """Write a size: whole ones without decimals, others with the digits that tell."""
    return count(value) if float(value).is_integer() else f"{value:,.6g}"


def figure(value: Any, unit: str, *, signed: bool = False) -> str:
    """Write a statistic in its unit; a dash for one that does not exist."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value.removesuffix("Z").removesuffix("T00:00:00").replace("T", " ")
    if unit == catalogue.PERCENT:
        return percent(value, signed=signed)
    if unit == catalogue.MONEY:
        return money(value, signed=signed)
    if unit in (catalogue.COUNT, catalogue.SECONDS):
        return count(value) + (" s" if unit == catalogue.SECONDS else "")
    if unit == catalogue.DAYS:
        return f"{_number(value, 1 if abs(value) < 100 else 0, False)} d"
    return _number(value, 3, signed)


def moment(second: float, *, with_time: bool = True) -> str:
    """Write an instant in UTC."""
    return datetime.fromtimestamp(int(second), UTC).strftime("%Y-%m-%d %H:%M" if with_time else "%Y-%m-%d")


def span(seconds: float) -> str:
    """Write a length of time in its two largest units."""
    whole = int(seconds)
    if whole >= DAY:
        days, rest = divmod(whole, DAY)
        return f"{days:,} d {rest // 3600} h" if rest >= 3600 and days < 30 else f"{days:,} d"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min" if rest >= 60 else f"{rest} s"


def tone(value: float | None) -> str | None:
    """Name the class that colours a gain or a loss; the sign says the same."""
    if not value:
        return None
    return "gain" if value > 0 else "loss"


def _number(value: float, places: int, signed: bool) -> str:
    if round(value, places) == 0:
        value = 0.0
    text = f"{abs(value):,.{places}f}"
    return f"{MINUS if value < 0 else '+' if signed and value > 0 else ''}{text}"
