"""Compare what an account did with what a backtest of the same days says, and keep it as evidence for the gate."""

import json
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.backtests import moments
from apps.backtests.outcomes import StrategyFailed
from apps.backtests.services import gate
from apps.domain import numbers
from apps.domain.backtests import drift
from apps.domain.backtests import gate as rules
from apps.domain.backtests.drift import Execution, Pair, Round, Slip
from apps.domain.errors import Problem, Refused, Unavailable
from apps.reporting import comparing
from apps.reporting.comparing import Comparison
from apps.trading.models import Allocation

WRONG_INPUT, FAILED = 2, 1  # exit status


class Command(BaseCommand):
    """`manage.py compare "Trend" --account 3 --since 2026-01-01 --json`."""

    help = "Compare paper or live trading with a backtest of the same days: signals, fills and what differs in profit."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare whose trading, which days, and what becomes of the answer."""
        parser.add_argument("strategy", metavar="STRATEGY", help="the name or number of a strategy that is followed")
        parser.add_argument("--account", type=int, metavar="ID", help="whose; needed where several accounts follow it")
        parser.add_argument(
            "--since", type=_instant, metavar="INSTANT", help="the first bar; default: its first signal"
        )
        parser.add_argument("--until", type=_instant, metavar="INSTANT", help="the first bar left out; default: all")
        parser.add_argument("--dry-run", action="store_true", help="keep nothing as evidence")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, keep and tell."""
        now = datetime.now(UTC)
        try:
            allocation = _allocation(options["strategy"], options["account"])
            found = comparing.compare(allocation, since=options["since"], until=options["until"], now=now)
        except Refused as refused:
            raise CommandError("\n".join(map(str, refused.problems)), returncode=WRONG_INPUT) from refused
        except (StrategyFailed, Unavailable) as error:
            raise CommandError(str(error), returncode=FAILED) from error
        beyond = list(rules.beyond(found.compared, gate.tolerance()))
        told = _json(found) | {"beyond": beyond, "evidence": None}
        if not options["dry_run"]:
            told["evidence"] = gate.record_comparison(found.strategy.pk, found.compared, now=now, actor="compare").pk
        self.stdout.write(json.dumps(told, allow_nan=False) if options["json"] else "\n".join(_text(found, beyond)))


def _allocation(name: str, account_id: int | None) -> Allocation:
    rows = Allocation.objects.select_related("strategy", "account")
    rows = (
        rows.filter(strategy__pk=int(name)) if name.isascii() and name.isdigit() else rows.filter(strategy__name=name)
    )
    found = list(rows.filter(account_id=account_id) if account_id is not None else rows)
    if len(found) == 1:
        return found[0]
    if found:
        known = ", ".join(f"--account {row.account_id} ({row.account})" for row in found)
        raise Refused(Problem(field="account", value="", rule="several accounts follow it", remedy=f"choose {known}"))
    who = "no account follows" if account_id is None else f"account {account_id} does not follow"
    raise Refused(Problem(field="strategy", value=name, rule=f"{who} it", remedy="see Strategies in the admin"))


def _instant(text: str) -> datetime:
    try:
        return moments.instant(text)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is no instant: {moments.FORMS}") from None


# --- for programs ---------------------------------------------------------------------------------------------------


def _json(found: Comparison) -> dict[str, Any]:
    stances = found.stances
    return {
        "strategy": found.strategy.name,
        "account": found.account.pk,
        "version": found.version.digest,
        "since": moments.shown(int(found.since.timestamp())),
        "until": moments.shown(int(found.until.timestamp())),
        "conventions": {symbol: chosen.as_json() for symbol, chosen in found.conventions.items()},
        "stances": {
            "same": stances.same,
            "agreement": stances.agreement,
            **{name: _bars(getattr(stances, name)) for name in ("different", "missed", "extra")},
        },
        "totals": _plain(drift.totals(found.drift)),
        "pairs": [_pair(pair) for pair in found.drift.pairs],
        "missed": [_round(one) | {"why": drift.why(one, stances, missed=True)} for one in found.drift.missed],
        "extra": [_round(one) | {"why": drift.why(one, stances, missed=False)} for one in found.drift.extra],
        "notes": list(found.notes),
    }


def _bars(bars: tuple[drift.Bar, ...]) -> list[dict[str, str]]:
    return [{"instrument": symbol, "at": moments.shown(at)} for symbol, at in bars]


def _plain(value: Any) -> Any:
    """Write money as plain digits; figures in basis points and seconds are numbers."""
    if isinstance(value, dict):
        return {key: _figure(key, item) for key, item in value.items()}
    return numbers.plain(value) if isinstance(value, Decimal) else value


def _figure(name: str, value: Any) -> Any:
    if isinstance(value, Decimal) and name.endswith(("_bps", "bps", "_seconds")):
        return float(value)
    return _plain(value)


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "live": _round(pair.live),
        "backtest": _round(pair.model),
        "entry": _slip(pair.entry),
        "exit": _slip(pair.exit) if pair.exit else None,
        "prices": numbers.plain(pair.prices),
        "quantities": numbers.plain(pair.quantities),
        "fees": numbers.plain(pair.fees),
    }


def _slip(slip: Slip) -> dict[str, Any]:
    names = ("market", "paid", "assumed", "total", "bps")
    return {"seconds": slip.seconds, **_plain({name: getattr(slip, name) for name in names})}


def _round(one: Round) -> dict[str, Any]:
    return {
        "instrument": one.instrument,
        "side": one.side.value,
        "signal_at": moments.shown(one.signal_at),
        "quantity": numbers.plain(one.quantity),
        "entry": _execution(one.entry),
        "exit": _execution(one.exit) if one.exit else None,
        "reason": one.reason,
        "fees": numbers.plain(one.fees),
        "pnl": numbers.plain(one.pnl),
    }


def _execution(one: Execution) -> dict[str, str]:
    return {
        "at": moments.shown(one.at),
        "reference": numbers.plain(one.reference),
        "price": numbers.plain(one.price),
    }


# --- for people -----------------------------------------------------------------------------------------------------


def _text(found: Comparison, beyond: list[str]) -> Iterator[str]:
    told, stances = drift.totals(found.drift), found.stances
    yield f"{found.strategy} on {found.account}, {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC"
    others = f"{len(stances.missed)} not asked, {len(stances.extra)} without a stored candle"
    yield (
        f"bars    {stances.same} with the same stance ({stances.agreement:.2%}), "
        f"{len(stances.different)} with another, {others}"
    )
    yield f"entries {told['matched']} on both sides, {told['missed']} missed, {told['extra']} extra"
    yield from _without_twin(found)
    yield f"fills   {told['fills']} compared" + (f", {_slippage(told)}" if told["fills"] else "")
    yield f"profit  {told['live_pnl']:,.2f} here, {told['model_pnl']:,.2f} in the backtest: {told['difference']:+,.2f}"
    yield "        of that " + ", ".join(f"{key} {value:+,.2f}" for key, value in told["explained"].items() if value)
    yield from (f"note: {note}" for note in found.notes)
    yield from (f"not yet evidence: it {why}" for why in beyond)


def _without_twin(found: Comparison) -> Iterator[str]:
    for word, rounds in (("missed", found.drift.missed), ("extra", found.drift.extra)):
        reasons = Counter(drift.why(one, found.stances, missed=word == "missed") for one in rounds)
        yield from (f"        {count} {word}: {why}" for why, count in reasons.most_common())


def _slippage(told: dict[str, Any]) -> str:
    return (
        f"{told['mean_bps']:+.2f} basis points worse on average (market {told['mean_market_bps']:+.2f}, "
        f"paid {told['mean_paid_bps']:+.2f}, assumed {told['mean_assumed_bps']:.2f}), worst {told['worst_bps']:+.2f}"
    )
