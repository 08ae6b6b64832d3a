"""The faults the exchange can be told to have: their names, arguments, and how they are written on a command line.

`NAME[@WHEN][:ARG[,ARG...]]`: `drop@10`, `stall@20:5`, `close@5:1011,going away`, `gap@500t:3`, `drop@30+30`.
WHEN is seconds after the start, `500t` for the 500th trade, and `+30` repeats every 30 seconds; without it the fault
happens at the start. Arguments go by position or as `name=value`.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

Value = float | int | str


@dataclass(frozen=True, slots=True)
class Param:
    """One argument of a fault; the type of `default` is the type of the argument."""

    name: str
    default: Value
    least: float = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault: what happens on the wire, and with which arguments."""

    name: str
    sentence: str
    params: tuple[Param, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The moment of a fault: at once, after seconds, or at a trade; `every` repeats it (seconds, 0 for never)."""

    seconds: float | None = None
    trade: int | None = None
    every: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault with its arguments and its moment."""

    name: str
    args: dict[str, Value]
    when: When


_SECONDS = "seconds; 0 means until the client gives up"

_AFTER = "AFTER says that they were obeyed first"
_CALL = Param("call", "place")
_RATE = (Param("rate", 1.0), Param("seed", 1))
"""Order faults strike `count` calls, 0 without end, each with the probability `rate` that follows from `seed`."""

CATALOGUE = {
    kind.name: kind
    for kind in (
        Kind("drop", "Every connection ends with a TCP reset."),
        Kind("close", "A close frame, then the end.", (Param("code", 1001, 1000), Param("reason", "going away"))),
        Kind("slow_close", "A close frame, but the socket ends only SECONDS later.",
             (Param("seconds", 30.0), Param("code", 1001, 1000))),
        Kind("stall", f"No bytes, pings ignored, TCP open, for SECONDS ({_SECONDS}).", (Param("seconds", 0.0),)),
        Kind("stall_keep_pong", "No messages, but pings are answered, for SECONDS.", (Param("seconds", 0.0),)),
        Kind("stall_mid_frame", "Half a frame, then nothing for SECONDS.", (Param("seconds", 0.0),)),
        Kind("no_handshake", "The next COUNT connections get no answer to their upgrade.", (Param("count", 1, 1),)),
        Kind("http_status", "The next COUNT upgrades are refused with this HTTP status.",
             (Param("status", 503, 300), Param("count", 1, 1))),
        Kind("quiet", "No trades for SECONDS, heartbeats only.", (Param("seconds", 10.0),)),
        Kind("gap", "The next COUNT trades (of PRODUCT) happen but are not sent.",
             (Param("count", 1, 1), Param("product", ""))),
        Kind("duplicate", "Each of the next COUNT trades is sent twice.", (Param("count", 1, 1),)),
        Kind("reorder", "The next COUNT trades are held, shuffled and sent.", (Param("count", 2, 2),)),
        Kind("replay_old", "The last COUNT trades are sent again.", (Param("count", 1, 1),)),
        Kind("garbage", "A broken message of this KIND; the kinds are listed in garbage.py, `all` sends each once.",
             (Param("kind", "all"), Param("product", ""))),
        Kind("off_market", "One extra trade PERCENT away from the market (negative: below).",
             (Param("percent", 2.0, -99), Param("product", ""))),
        Kind("crossed", "The next COUNT tickers have a bid above the ask.", (Param("count", 1, 1),)),
        Kind("zero_bid", "The next COUNT tickers have a bid of 0.", (Param("count", 1, 1),)),
        Kind("clock_skew", "The exchange's clock is off by OFFSET seconds from now on; 0 sets it right.",
             (Param("offset", 5.0, -math.inf),)),
        Kind("burst", "RATE trades a second for SECONDS.", (Param("rate", 5000.0, 1), Param("seconds", 2.0))),
        Kind("ack_missing", "The next COUNT subscribe requests are obeyed but not acknowledged.",
             (Param("count", 1, 1),)),
        Kind("ack_partial", "The next COUNT subscribe requests lose one product without a word.",
             (Param("count", 1, 1),)),
        Kind("rate_limit", "REST answers 429 for SECONDS.", (Param("seconds", 5.0),)),
        Kind("rest_status", "The next COUNT REST answers have this HTTP status and a body that is not JSON.",
             (Param("status", 500, 300), Param("count", 1, 1))),
        Kind("rest_silence", "The next COUNT REST requests get no answer.", (Param("count", 1, 1),)),
        Kind("order_timeout", f"The next COUNT private CALLs (place, cancel, amend, read, any) stay open; {_AFTER}.",
             (Param("count", 1), _CALL, Param("after", 1), *_RATE)),
        Kind("order_status", f"The next COUNT private CALLs are answered with this HTTP status and no JSON; {_AFTER}.",
             (Param("status", 500, 200), Param("count", 1), _CALL, Param("after", 0), *_RATE)),
        Kind("order_reset", f"The next COUNT private CALLs end with a TCP reset; {_AFTER}.",
             (Param("count", 1), _CALL, Param("after", 1), *_RATE)),
        Kind("order_limit", "The next COUNT private CALLs are answered 429 with this Retry-After.",
             (Param("count", 1), Param("retry_after", 1), Param("call", "any"), *_RATE)),
        Kind("order_slow", "The next COUNT private CALLs are obeyed at once and answered SECONDS later.",
             (Param("seconds", 1.0), Param("count", 1), Param("call", "any"), *_RATE)),
        Kind("order_reject", "The next COUNT orders are refused with REASON.",
             (Param("reason", "UNSUPPORTED_ORDER_CONFIGURATION"), Param("count", 1), *_RATE)),
        Kind("order_partial", "The next COUNT orders fill PERCENT per match; STAYS keeps an IOC rest open.",
             (Param("percent", 50.0, 0.0001), Param("count", 1), Param("stays", 0), *_RATE)),
        Kind("order_pending", "The next COUNT orders are accepted and matched SECONDS later.",
             (Param("seconds", 1.0), Param("count", 1), *_RATE)),
        Kind("order_late_fill", "The next COUNT cancels are confirmed, and PERCENT of the rest fills SECONDS later; "
             "FINAL says cancelled at once, otherwise the cancel is queued.",
             (Param("percent", 100.0), Param("count", 1), Param("seconds", 0.2), Param("final", 0), *_RATE)),
        Kind("order_duplicate", "The next COUNT answers with fills list each of them twice.",
             (Param("count", 1), *_RATE)),
        Kind("order_lost", "The next COUNT orders are not found by any question for SECONDS.",
             (Param("seconds", 2.0), Param("count", 1), *_RATE)),
        Kind("clear", "Stalls end and every switched-on fault is off."),
    )
}  # fmt: skip

_WHEN = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<trade>t)?(\+(?P<every>\d+(\.\d+)?))?")


def parse(text: str) -> Fault:
    """Read `stall@20:5`. Raises ValueError with one sentence that names the value and what is allowed."""
    head, _, tail = text.partition(":")
    name, at, moment = head.partition("@")
    kind = _kind(name)
    args: dict[str, Any] = {}
    for place, part in enumerate(tail.split(",") if tail else ()):
        key, equals, value = part.partition("=")
        if equals and key in {param.name for param in kind.params}:
            args[key] = value
        elif place < len(kind.params):
            args[kind.params[place].name] = part
        else:
            raise ValueError(f"fault {name}: {part!r} is one argument too many, it takes {_signature(kind)}")
    return build(name, args, _moment(text, moment) if at else When())


def build(name: str, args: dict[str, Any], when: When | None = None) -> Fault:
    """A fault with checked arguments and defaults for the missing ones; raises ValueError."""
    kind = _kind(name)
    unknown = set(args) - {param.name for param in kind.params}
    if unknown:
        raise ValueError(f"fault {name}: unknown argument {min(unknown)!r}, it takes {_signature(kind)}")
    checked = {param.name: _value(name, param, args.get(param.name, param.default)) for param in kind.params}
    return Fault(name=name, args=checked, when=when or When())


def _kind(name: str) -> Kind:
    if name not in CATALOGUE:
        raise ValueError(f"fault {name!r} is unknown, choose from: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def _signature(kind: Kind) -> str:
    return ", ".join(f"{param.name} (default {param.default})" for param in kind.params) or "no arguments"


def _moment(text: str, moment: str) -> When:
    found = _WHEN.fullmatch(moment)
    if not found:
        raise ValueError(f"fault {text!r}: the moment {moment!r} must look like 10, 2.5, 10+30 or 500t")
    every = float(found["every"] or 0)
    if found["trade"]:
        if "." in found["number"] or every:
            raise ValueError(f"fault {text!r}: a trade number is whole and does not repeat, like 500t")
        return When(trade=int(found["number"]))
    return When(seconds=float(found["number"]), every=every)


def _value(name: str, param: Param, raw: object) -> Value:
    if isinstance(param.default, str):
        return str(raw)
    text = str(raw) if isinstance(raw, int | float | str) and not isinstance(raw, bool) else ""
    whole = isinstance(param.default, int)
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"fault {name}: {param.name} must be {kind}, not {raw!r}") from None
    if not math.isfinite(number) or number < param.least:
        raise ValueError(f"fault {name}: {param.name} must be at least {param.least:g}, not {raw!r}")
    return number


class Plan:
    """Faults waiting for their moment."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.next_trade = math.inf
        self._timed: list[tuple[float, Fault]] = []
        self._counted: list[tuple[int, Fault]] = []
        for fault in faults:
            self.add(fault, 0.0)

    def add(self, fault: Fault, elapsed: float) -> None:
        """Plan a fault; `elapsed` is seconds since the start and the moment of a fault without one."""
        if fault.when.trade is not None:
            self._counted.append((fault.when.trade, fault))
            self.next_trade = min(number for number, _ in self._counted)
        else:
            self._timed.append((elapsed if fault.when.seconds is None else fault.when.seconds, fault))

    def due(self, elapsed: float) -> list[Fault]:
        """Take the faults whose second has come; repeating ones are planned again."""
        ripe = [item for item in self._timed if item[0] <= elapsed]
        self._timed = [item for item in self._timed if item[0] > elapsed]
        for at, fault in ripe:
            if fault.when.every:
                self._timed.append((max(at, elapsed) + fault.when.every, fault))
        return [fault for _, fault in sorted(ripe, key=lambda item: item[0])]

    def due_at_trade(self, count: int) -> list[Fault]:
        """Take the faults planned for the trade with this number."""
        ripe = [fault for number, fault in self._counted if number <= count]
        self._counted = [item for item in self._counted if item[0] > count]
        self.next_trade = min((number for number, _ in self._counted), default=math.inf)
        return ripe

    def waiting(self) -> list[dict[str, object]]:
        """What is planned, for people."""
        timed = [{"fault": fault.name, "args": fault.args, "at_seconds": at} for at, fault in self._timed]
        return timed + [
            {"fault": fault.name, "args": fault.args, "at_trade": number} for number, fault in self._counted
        ]
