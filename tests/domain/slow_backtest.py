"""A backtest written once more, slowly and plainly, from the text of the conventions: what the compiled loop must give.

It shares no code with the product. It works on any number type: floats for equality to the last decision, Decimal to
show that no decision hangs on the rounding of floats.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.domain.slow_figures import Figures
from tests.domain.slow_position import Bar, Number, Position


@dataclass
class Slow(Figures):
    """One run over aligned bars of several instruments; `c` are the conventions as JSON."""

    c: dict[str, Any]
    markets: list[list[Bar]]
    stances: list[list[int]]
    warmup: int = 0
    plans: list[list[tuple[Number | None, Number | None, Number | None]]] | None = None
    detail: list[list[Bar]] | None = None  # the finer bars of each bar of the one instrument
    funding: list[list[Number]] | None = None
    num: Callable[[str], Number] = float
    trades: list[dict[str, Any]] = field(default_factory=list)
    equity: list[Number] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    ambiguous: int = 0

    def __post_init__(self) -> None:
        self.limits = self.c["limits"]
        self.cash = self.n("cash")
        self.held: list[Position | None] = [None for _ in self.markets]
        self.level_bar = [-1 for _ in self.markets]
        self.peak, self.day, self.day_equity = self.cash, None, self.cash
        self.blocked: tuple[Any, str] = (None, "")
        self.streak, self.sleeps, self.stopped, self.breach = 0, 0, False, False

    def run(self) -> "Slow":
        bars = len(self.markets[0])
        worth = self.cash
        for t in range(bars):
            day = self.markets[0][t].at // 86400
            if day != self.day:
                self.day, self.day_equity = day, worth
            if t:
                self.opening(t)
            self.inside(t)
            if self.c["fill"] == "close":
                self.orders(t, t, "close")
            worth = self.worth(t, "close")
            self.equity.append(worth)
            self.judge(worth)
        if bars:
            self.finish(bars - 1)
        return self

    def holdings(self) -> list[tuple[int, int, int]]:
        """Return instrument, side and entry bar of what is still held."""
        return [(k, p.side, p.entry_bar) for k, p in enumerate(self.held) if p]

    # --- what happens on a bar

    def opening(self, t: int) -> None:
        self.charge_holding(t)
        if self.breach:
            self.breach = False
            for k, position in enumerate(self.held):
                if position:
                    self.leave(t, k, self.markets[k][t].open, "risk")
        if self.c["fill"] == "next-open":
            self.orders(t, t - 1, "open")
        for k, position in enumerate(self.held):
            if position and self.c["time_stop"] and t >= position.entry_bar + self.c["time_stop"]:
                self.leave(t, k, self.markets[k][t].open, "time_stop")
                self.level_bar[k] = t

    def charge_holding(self, t: int) -> None:
        for k, p in enumerate(self.held):
            if not p:
                continue
            last, now = self.markets[k][t - 1], self.markets[k][t]
            seconds = self.c["funding_hours"] * 3600
            rate = self.n("funding_rate") * (now.at // seconds - last.at // seconds)
            if self.funding is not None:
                rate = self.funding[k][t]
            cost = p.size * last.close * rate * p.side
            if p.side < 0:
                cost += p.size * last.close * (self.n("borrow_rate") * (now.at - last.at) / (365 * 86400))
            p.carry += cost
            self.cash -= cost

    def orders(self, t: int, d: int, when: str) -> None:
        for k, p in enumerate(self.held):
            if p and self.c["exit_on_signal"] and self.disagrees(k, d, p.side):
                self.leave(t, k, getattr(self.markets[k][t], when), "signal", at_close=when == "close")
        for k in range(len(self.held)):
            side = self.wish(k, d)
            if not side:
                continue
            why = self.hindrance(k, d)
            if why is None:
                why = self.enter(t, d, k, side, when)
            elif why == "in_position" and self.c["entries"] == "level":
                why = None
            if why:
                self.rejected[why] += 1

    def wish(self, k: int, d: int) -> int:
        stance = self.stances[k][d]
        before = self.stances[k][d - 1] if d else 0
        allowed = {"long": [1], "short": [-1], "both": [1, -1]}[self.c["sides"]]
        if stance not in allowed:
            return 0
        edge = {
            "change": d >= self.warmup and stance != before,
            "cross": d >= self.warmup and stance == -before,
            "level": d >= self.warmup - 1,
        }
        return stance if edge[self.c["entries"]] else 0

    def disagrees(self, k: int, d: int, side: int) -> bool:
        if self.c["entries"] == "cross":
            return self.stances[k][d - 1] == side and self.stances[k][d] == -side
        return self.stances[k][d] != side

    def hindrance(self, k: int, d: int) -> str | None:
        if self.held[k]:
            return "in_position"
        if self.level_bar[k] == d and not self.c["same_bar_reentry"]:
            return "same_bar"
        if self.stopped:
            return "max_drawdown"
        if self.blocked[0] == self.day:
            return self.blocked[1]
        return "cooldown" if d < self.sleeps else None

    def inside(self, t: int) -> None:
        for k, p in enumerate(self.held):
            if not p or (p.entry_bar == t and not self.c["entry_bar"]):
                continue
            for bar in (self.detail[t] if self.detail else None) or [self.markets[k][t]]:
                self.pass_bar(t, k, bar)

    def pass_bar(self, t: int, k: int, bar: Bar) -> None:
        p = self.held[k]
        if p is None:
            return
        best, worst = (bar.high, bar.low) if p.side > 0 else (bar.low, bar.high)
        doubt = False
        while p is self.held[k]:
            level, name = p.guard()
            goal, share = self.goal(p)
            hit_stop = level is not None and p.bad(worst, level)
            hit_goal = goal is not None and p.good(best, goal)
            if not hit_stop and not hit_goal:
                break
            first, unsure = ("stop" if hit_stop else "target"), False
            if hit_stop and hit_goal:
                doubt = True
                first, unsure = self.which(p, bar, level, goal)
            if first == "stop":
                price = self.gapped("gap_sl", bar.open, level, p.bad(bar.open, level), not p.good(best, level))
                self.leave(t, k, price, name, unsure=unsure)
            else:
                beyond = p.good(bar.open, goal)
                price = self.gapped("gap_tp", bar.open, goal, beyond, not p.bad(worst, goal), worst)
                self.leave(t, k, price, "take_profit", size=self.share(p, share), unsure=unsure)
                del p.steps[: share is not None]
        if p is self.held[k]:
            doubt = self.follow(t, k, p, bar, best, worst) or doubt
        if self.held[k] is None:
            self.level_bar[k] = t
        self.ambiguous += doubt

    def follow(self, t: int, k: int, p: Position, bar: Bar, best: Number, worst: Number) -> bool:
        """Move the levels behind the best price; say whether the bar leaves open if one was touched."""
        if not p.trail and p.even_wake is None:
            return False
        p.best = max(p.best, best) if p.side > 0 else min(p.best, best)
        level, name = p.guard()
        if level is not None and p.bad(bar.close, level):
            self.leave(t, k, level, name)
            return False
        return level is not None and p.bad(worst, level)

    def goal(self, p: Position) -> tuple[Number | None, Number | None]:
        if p.steps and (p.target is None or not p.good(p.steps[0][0], p.target)):
            return p.steps[0]
        return p.target, None

    def which(self, p: Position, bar: Bar, stop: Number, goal: Number) -> tuple[str, bool]:
        if self.c["open_first"]:
            if p.bad(bar.open, stop):
                return "stop", False
            if p.good(bar.open, goal):
                return "target", False
        if self.c["order"] == "adaptive":
            to_high, to_low = bar.high - bar.open, bar.open - bar.low
            least = bar.open * self.num("1e-12")
            near = to_low - to_high > least if p.side > 0 else to_high - to_low > least
            return ("target" if near else "stop"), True
        return {"sl": "stop", "tp": "target"}[self.c["order"]], True

    def gapped(
        self, name: str, opened: Number, level: Number, beyond: bool, whole: bool, clamped: Number | None = None
    ) -> Number:
        if self.c[name] == "open":
            return opened if beyond else level
        clamped = opened if clamped is None else clamped
        return clamped if self.c[name] == "clamp" and whole else level

    def share(self, p: Position, share: Number | None) -> Number:
        if share is None:
            return p.size
        lot = self.lot()
        size = self.floored(p.opened * share)
        size = max(size, lot) if lot else size
        rest = p.size - size
        return size if rest >= (lot or p.opened * self.num("1e-12")) else p.size

    # --- fills

    def stop(self, planned: Number | None, base: Number, side: int) -> Number | None:
        return planned if planned is not None else self.level(base, side, "stop_loss", -1)

    def enter(self, t: int, d: int, k: int, side: int, when: str) -> str | None:
        reference, bar = getattr(self.markets[k][t], when), self.markets[k][d]
        equity, gross = self.worth(t, when), self.gross(t, when)
        plan = self.plans[k][d] if self.plans else (None, None, None)
        size: Number = 0
        if self.c["slippage"] == "volume-share":
            unslipped = self.wanted(k, d, side, reference, self.stop(plan[0], reference, side), equity, gross)[0]
            size = self.floored(unslipped)
        price = self.slipped(side, reference, size, bar.volume)
        base = price if self.c["base"] == "fill" else bar.close
        stop = self.stop(plan[0], base, side)
        stop = stop if plan[0] is not None else self.rounded(stop, "round_px")
        size, why = self.wanted(k, d, side, price, stop, equity, gross)
        size = self.floored(size)
        why = why or self.refused(size, price, equity, gross)
        if why:
            return why
        fee = self.fee(size, price, self.n("fee_rate"))
        self.cash -= side * (size * price) + fee
        target = plan[1]
        if target is None and self.c["take_profit"] is not None:
            target = self.rounded(self.netted(side, base, self.n("take_profit")), "round_px")
        steps = [
            (self.rounded(self.netted(side, base, self.num(repr(rate))), "round_px"), self.num(repr(share)))
            for rate, share in sorted(self.c["partial_exits"])
        ]
        self.held[k] = Position(
            side, size, size, price, t, fee, stop, target, steps, self.trail(side, plan[2]),
            self.level(base, side, "trailing_activation", 1), self.level(base, side, "break_even", 1),
            self.level(base, side, "break_even_offset", 1), price,
        )  # fmt: skip
        return None

    def wanted(
        self, k: int, d: int, side: int, price: Number, stop: Number | None, equity: Number, gross: Number
    ) -> tuple[Number, str | None]:
        with_fee = price * (1 + self.n("fee_rate")) if self.c["size_fee"] else price
        power = equity * self.leverage() - gross - (self.n("fee_fixed") if self.c["size_fee"] else 0)
        everything, size, none = power / with_fee, self.n("size"), self.num("0")
        kind = self.c["sizing"]
        if kind == "risk":
            away = (price - stop) * side if stop is not None else none
            return (min(equity * size / away, everything), None) if away > 0 else (none, "no_stop")
        if kind == "volatility":
            moves = self.deviation(k, d)
            return (min(equity * size / (price * moves), everything), None) if moves else (none, "no_deviation")
        return {
            "all-in": everything, "fixed": size, "notional": size / price, "percent": equity * size / with_fee,
        }[kind], None  # fmt: skip

    def refused(self, size: Number, price: Number, equity: Number, gross: Number) -> str | None:
        if size <= 0 or size * price <= equity * self.num("1e-9"):
            return "size"
        value, limit = size * price, lambda name: self.limits[name] is not None and self.num(repr(self.limits[name]))
        cost = value * (1 + self.n("fee_rate")) + self.n("fee_fixed") if self.c["size_fee"] else value
        checks = {
            "cash": cost > equity * self.leverage() - gross + equity * self.num("1e-9"),
            "max_order_value": limit("max_order_value") and value > limit("max_order_value"),
            "max_position_size": limit("max_position_size") and size > limit("max_position_size"),
            "max_open_positions": limit("max_open_positions")
            and sum(map(bool, self.held)) >= limit("max_open_positions"),
            "max_gross_exposure": limit("max_gross_exposure") and gross + value > limit("max_gross_exposure") * equity,
        }
        return next((name for name, broken in checks.items() if broken), None)

    def leave(
        self, t: int, k: int, price: Number, reason: str, *,
        size: Number | None = None, unsure: bool = False, at_close: bool = False,
    ) -> None:  # fmt: skip
        p = self.held[k]
        assert p is not None
        size = p.size if size is None else size
        resting = reason == "take_profit" and self.c["maker_rate"] is not None
        volume = self.markets[k][t if at_close else t - 1].volume
        fill = price if resting else self.slipped(-p.side, price, size, volume)
        fee = self.fee(size, fill, self.n("maker_rate") if resting else self.n("fee_rate"))
        part = size / p.size
        entry_fee, carry = p.fee * part, p.carry * part
        self.cash += p.side * (size * fill) - fee
        pnl = p.side * size * (fill - p.entry) - entry_fee - fee - carry
        pnl = pnl if abs(pnl) >= size * fill * self.num("1e-14") else self.num("0")
        self.trades.append({
            "instrument": k, "side": p.side, "entry_bar": p.entry_bar, "exit_bar": t, "entry_price": p.entry,
            "exit_price": fill, "size": size, "entry_fee": entry_fee, "exit_fee": fee, "carry": carry, "pnl": pnl,
            "reason": reason, "ambiguous": unsure,
        })  # fmt: skip
        p.fee, p.carry, p.size = p.fee - entry_fee, p.carry - carry, p.size - size
        if part == 1:
            self.held[k] = None
        self.lost(t) if pnl < 0 else self.won()

    # --- the account

    def worth(self, t: int, when: str) -> Number:
        held = [(p.side * p.size, self.markets[k][t]) for k, p in enumerate(self.held) if p]
        return self.cash + sum(size * getattr(bar, when) for size, bar in held)

    def gross(self, t: int, when: str) -> Number:
        return sum(p.size * getattr(self.markets[k][t], when) for k, p in enumerate(self.held) if p)

    def judge(self, worth: Number) -> None:
        self.peak = max(self.peak, worth)
        for name, high in (("max_drawdown", self.peak), ("max_daily_loss", self.day_equity)):
            if self.limits[name] is not None and worth <= high * (1 - self.num(repr(self.limits[name]))):
                if name == "max_drawdown":
                    self.stopped = True
                else:
                    self.blocked = (self.day, name)
                self.breach = self.limits["close_on_breach"]

    def won(self) -> None:
        self.streak = 0

    def lost(self, t: int) -> None:
        self.streak += 1
        if self.limits["cooldown"]:
            self.sleeps = t + self.limits["cooldown"]
        if self.limits["max_loss_streak"] and self.streak >= self.limits["max_loss_streak"]:
            self.blocked, self.streak = (self.day, "max_loss_streak"), 0

    def finish(self, t: int) -> None:
        for k in range(len(self.held)):
            p, side = self.held[k], self.wish(k, t)
            free = p is None or (self.c["exit_on_signal"] and self.disagrees(k, t, p.side))
            if side and free and self.c["fill"] == "next-open":
                self.rejected["last_bar"] += 1
            if p and self.c["end"] in ("close", "open"):
                self.leave(t, k, getattr(self.markets[k][t], self.c["end"]), "end", at_close=True)
        if self.c["end"] != "mark":
            self.equity[t] = self.worth(t, "open" if self.c["end"] == "mark-open" else "close")
