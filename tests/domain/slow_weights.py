"""Target weights traded once more, slowly: what the compiled loop for weights must give."""

import math
from collections import Counter
from typing import Any

from tests.domain.slow_backtest import Slow
from tests.domain.slow_position import Bar


class SlowWeights(Slow):
    """`weights` has a list per instrument; fees, slippage, carry and limits are those of the slow model of stances."""

    def __init__(self, *, weights: list[list[float]], **given: Any) -> None:
        super().__init__(stances=[], **given)
        self.weights = weights
        self.book = [{"size": 0.0, "entry": 0.0, "bar": 0, "fee": 0.0, "carry": 0.0} for _ in self.markets]
        self.rejected = Counter()

    def holdings(self) -> list[tuple[int, int, int]]:
        return [(k, int(math.copysign(1, m["size"])), m["bar"]) for k, m in enumerate(self.book) if m["size"]]

    def opening(self, t: int) -> None:
        for k, mine in enumerate(self.book):
            last, now = self.markets[k][t - 1], self.markets[k][t]
            seconds = self.c["funding_hours"] * 3600
            rate = self.c["funding_rate"] * (now.at // seconds - last.at // seconds)
            cost = mine["size"] * last.close * rate
            if mine["size"] < 0:
                cost -= mine["size"] * last.close * self.c["borrow_rate"] * (now.at - last.at) / (365 * 86400)
            mine["carry"] += cost
            self.cash -= cost
        if self.breach:
            self.breach = False
            for k in range(len(self.book)):
                self.trade(t, k, -self.book[k]["size"], self.markets[k][t].open, self.markets[k][t - 1], "risk")
        if self.c["fill"] == "next-open":
            self.orders(t, t - 1, "open")

    def inside(self, t: int) -> None:
        """No level is watched inside a bar."""

    def is_new(self, d: int) -> bool:
        first = max(self.warmup - 1, 0)
        if d < first:
            return False
        pairs = [(row[d], row[d - 1] if d > first else 0.0) for row in self.weights]
        return self.c["entries"] == "level" or any(now == now and now != before for now, before in pairs)

    def orders(self, t: int, d: int, when: str) -> None:
        if not self.is_new(d):
            return
        equity = self.worth(t, when)
        for k, mine in enumerate(self.book):
            weight = self.allowed(self.weights[k][d])
            if mine["size"] and weight == weight:
                self.shrink(t, k, d, weight, getattr(self.markets[k][t], when), equity)
        for k in range(len(self.book)):
            weight = self.allowed(self.weights[k][d])
            if weight == weight and weight:
                why = self.grow(t, k, d, weight, getattr(self.markets[k][t], when), when)
                if why:
                    self.rejected[why] += 1

    def shrink(self, t: int, k: int, d: int, weight: float, price: float, equity: float) -> None:
        size = self.book[k]["size"]
        goal = self.units(weight, equity, k, d, price)
        goal = 0.0 if goal * size < 0 else goal
        less = abs(size) - abs(goal)
        if less > 0 and (not goal or self.is_order(less, price, equity)):
            self.trade(t, k, goal - size, price, self.markets[k][d], "signal")

    def grow(self, t: int, k: int, d: int, weight: float, price: float, when: str) -> str | None:
        mine, bar = self.book[k], self.markets[k][d]
        equity, side = self.worth(t, when), int(math.copysign(1, weight))
        lacking = abs(self.units(weight, equity, k, d, price)) - abs(mine["size"])
        if not self.is_order(lacking, price, equity):
            return None
        fill = self.slipped(side, price, lacking, bar.volume)
        power = equity * self.leverage() - self.gross(t, when)
        size = self.floored(min(lacking, (power - self.c["fee_fixed"]) / self.unit(fill)))
        if not self.is_order(size, price, equity):
            return "cash"
        why = self.blocked_by(d) or self.over(size, size * fill, equity, self.gross(t, when), k)
        if why:
            return why
        fee = self.fee(size, fill, self.c["fee_rate"])
        self.cash -= side * size * fill + fee
        if not mine["size"]:
            mine |= {"entry": fill, "bar": t, "fee": 0.0, "carry": 0.0}
        mine["entry"] = (abs(mine["size"]) * mine["entry"] + size * fill) / (abs(mine["size"]) + size)
        mine["size"] += side * size
        mine["fee"] += fee
        return None

    def is_order(self, size: float, price: float, equity: float) -> bool:
        return abs(size) >= self.lot() and size * price > 1e-9 * equity

    def blocked_by(self, d: int) -> str | None:
        if self.stopped:
            return "max_drawdown"
        if self.blocked[0] == self.day:
            return self.blocked[1]
        return "cooldown" if d < self.sleeps else None

    def over(self, size: float, value: float, equity: float, gross: float, k: int) -> str | None:
        others = sum(bool(mine["size"]) for mine in self.book) - bool(self.book[k]["size"])
        reached = {
            "max_order_value": value,
            "max_position_size": abs(self.book[k]["size"]) + size,
            "max_open_positions": others + 1,
            "max_gross_exposure": (gross + value) / equity,
        }
        return next((name for name, value in reached.items() if value > (self.limits[name] or math.inf)), None)

    def trade(self, t: int, k: int, change: float, price: float, last: Bar, reason: str) -> None:
        """Make a position smaller by `change`."""
        mine, size = self.book[k], abs(change)
        if not size:
            return
        side = 1 if mine["size"] > 0 else -1
        fill = self.slipped(-side, price, size, last.volume)
        fee, share = self.fee(size, fill, self.c["fee_rate"]), size / abs(mine["size"])
        self.cash += side * size * fill - fee
        entry_fee, carry = mine["fee"] * share, mine["carry"] * share
        pnl = side * size * (fill - mine["entry"]) - entry_fee - fee - carry
        self.trades.append({
            "instrument": k, "side": side, "entry_bar": mine["bar"], "exit_bar": t, "entry_price": mine["entry"],
            "exit_price": fill, "size": size, "entry_fee": entry_fee, "exit_fee": fee, "carry": carry, "pnl": pnl,
            "reason": reason, "ambiguous": False,
        })  # fmt: skip
        mine |= {"size": mine["size"] + change if share < 1 else 0.0}
        mine |= {"fee": mine["fee"] - entry_fee, "carry": mine["carry"] - carry}
        self.lost(t) if pnl < 0 else self.won()

    def units(self, weight: float, equity: float, k: int, d: int, price: float) -> float:
        side, worth = int(math.copysign(1, weight)), abs(weight) * equity
        fill = self.slipped(side, price, worth / price, self.markets[k][d].volume)
        return side * self.floored(max(worth / self.unit(fill), 0.0))

    def unit(self, price: float) -> float:
        return price * (1 + self.c["fee_rate"]) if self.c["size_fee"] else price

    def allowed(self, weight: float) -> float:
        banned = {"long": weight < 0, "short": weight > 0, "both": False}[self.c["sides"]]
        return 0.0 if banned else weight

    def worth(self, t: int, when: str) -> float:
        pairs = zip(self.book, self.markets, strict=True)
        return self.cash + sum(mine["size"] * getattr(bars[t], when) for mine, bars in pairs)

    def gross(self, t: int, when: str) -> float:
        return sum(abs(m["size"]) * getattr(bars[t], when) for m, bars in zip(self.book, self.markets, strict=True))

    def finish(self, t: int) -> None:
        if self.c["fill"] == "next-open" and self.is_new(t):
            self.rejected["last_bar"] += 1
        for k, mine in enumerate(self.book):
            if self.c["end"] in ("close", "open"):
                self.trade(t, k, -mine["size"], getattr(self.markets[k][t], self.c["end"]), self.markets[k][t], "end")
        if self.c["end"] != "mark":
            self.equity[t] = self.worth(t, "open" if self.c["end"] == "mark-open" else "close")
