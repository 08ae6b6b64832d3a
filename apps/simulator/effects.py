"""Carries out faults: one small function per fault, found by its name."""

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

from apps.simulator import garbage, market, protocol, wire
from apps.simulator.faults import Fault
from apps.simulator.orders import mishaps
from apps.simulator.session import Later, Session
from apps.simulator.venue import Switches, Venue

Effect = Callable[["Effects", dict[str, Any], wire.Touched], None]


class Effects:
    """The hands of the faults. `later` runs a function after some seconds."""

    def __init__(self, venue: Venue, later: Later) -> None:
        self.venue = venue
        self.later = later

    def carry_out(self, fault: Fault) -> None:
        """Do it now and write it into the journal."""
        venue = self.venue
        touched = venue.journal.note(fault, venue.elapsed(), protocol.iso(venue.now_us()))
        EFFECTS[fault.name](self, fault.args, touched)
        venue.hub.flush()

    def sessions(self) -> list[Session]:
        return self.venue.hub.sessions[:]

    def for_a_while(self, seconds: float, stalled: list[Session]) -> None:
        """Let stalled sessions recover after some seconds, or never for 0."""
        if not seconds:
            return
        for session in stalled:
            self.later(seconds, session.recover)

    def expect(self, kind: str, args: dict[str, Any], touched: wire.Touched, **more: Any) -> None:
        """Let the wire treat the next trades."""
        self.venue.wire.add(
            wire.Job(kind, int(args.get("count", 1)), touched, product=str(args.get("product", "")), **more)
        )


def drop(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    for session in effects.sessions():
        session.reset()


def close(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    for session in effects.sessions():
        session.close(args["code"], args["reason"])


def slow_close(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    for session in effects.sessions():
        session.close_slowly(args["code"], "going away slowly", args["seconds"])


def stall(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    stalled = effects.sessions()
    for session in stalled:
        session.stall(answers_pings=False)
    effects.for_a_while(args["seconds"], stalled)


def stall_keep_pong(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    stalled = effects.sessions()
    for session in stalled:
        session.stall(answers_pings=True)
    effects.for_a_while(args["seconds"], stalled)


def stall_mid_frame(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    stalled = effects.sessions()
    for session in stalled:
        session.stall_in_next_frame()
    effects.for_a_while(args["seconds"], stalled)


def no_handshake(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.venue.switches.unanswered_upgrades += args["count"]


def http_status(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.venue.switches.refused_upgrades += [args["status"]] * args["count"]


def quiet(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.venue.switches.quiet_until = effects.venue.elapsed() + args["seconds"]


def gap(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.expect("gap", args, touched)


def duplicate(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.expect("duplicate", args, touched)


def reorder(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.expect("reorder", args, touched)


def crossed(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.expect("crossed", args, touched)


def zero_bid(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.expect("zero_bid", args, touched)


def replay_old(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    venue = effects.venue
    for trade in list(islice(reversed(venue.wire.recent), args["count"]))[::-1]:
        touched.setdefault(trade.product_id, []).append(trade.trade_id)
        venue.hub.send_trade(trade, None, venue.switches.skew_us)


def broken(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    for kind in garbage.kinds(args["kind"]):
        if kind in garbage.FRAMES:
            effects.venue.hub.send_raw(garbage.FRAMES[kind]())
        else:
            effects.expect("garbage", {"product": args["product"]}, touched, mutation=garbage.MUTATIONS[kind])


def off_market(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    venue = effects.venue
    product_id = args["product"] or next(iter(venue.tapes))
    book = venue.tapes[product_id]
    assert book.last is not None
    last = book.last
    price = float(last.price) * (1 + args["percent"] / 100)
    text = f"{price:.{book.product.quote_decimals}f}"
    made: market.Print = (
        float(text), text, float(last.size), last.size, last.side, last.bid, last.bid_size, last.ask, last.ask_size, 2,
    )  # fmt: skip
    trade = venue.print_trade(product_id, made)
    touched.setdefault(product_id, []).append(trade.trade_id)
    venue.journal.products[product_id].off_market.append(trade.trade_id)


def clock_skew(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.venue.switches.skew_us = round(args["offset"] * 1_000_000)


def burst(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    switches = effects.venue.switches
    switches.burst_rate = args["rate"]
    switches.burst_until = effects.venue.elapsed() + args["seconds"]


def ack_missing(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.venue.switches.missing_acks += args["count"]


def ack_partial(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.venue.switches.partial_acks += args["count"]


def rate_limit(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.venue.switches.rest_limited_until = effects.venue.elapsed() + args["seconds"]


def rest_status(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.venue.switches.rest_statuses += [args["status"]] * args["count"]


def rest_silence(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.venue.switches.rest_silences += args["count"]


def clear(effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    venue = effects.venue
    venue.switches = Switches()
    venue.orders.mishaps.clear()
    for session in effects.sessions():
        session.recover()
    for parcel in venue.wire.clear():
        venue.send(parcel)


def mishap(name: str, effects: Effects, args: dict[str, Any], touched: wire.Touched) -> None:
    effects.venue.orders.mishaps.add(name, args)


_ON_THE_WIRE: dict[str, Effect] = {
    effect.__name__: effect
    for effect in (
        drop, close, slow_close, stall, stall_keep_pong, stall_mid_frame, no_handshake, http_status, quiet, gap,
        duplicate, reorder, replay_old, off_market, crossed, zero_bid, clock_skew, burst, ack_missing, ack_partial,
        rate_limit, rest_status, rest_silence, clear,
    )
}  # fmt: skip
_ON_ORDERS: dict[str, Effect] = {name: partial(mishap, name) for name in mishaps.NAMES}
EFFECTS = _ON_THE_WIRE | _ON_ORDERS | {"garbage": broken}
