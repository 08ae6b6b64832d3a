"""The simulator's command line: which options there are, and what running them does."""

import argparse
import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path

from apps.simulator import config, exchange, faults, record
from apps.simulator.config import Config
from apps.simulator.venue import Venue

Say = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options; values are checked by `run`, which raises ValueError with one sentence."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", default="0", help="port to listen on, 0 for a free one (default 0)")
    parser.add_argument("--allow-remote", action="store_true", help="allow an address that is not loopback")
    parser.add_argument("--seed", default="1", help="same seed, same market (default 1)")
    parser.add_argument("--products", default="8", help="BTC-USD,ETH-USD=2500.00 (with starting price) or a count")
    parser.add_argument("--rate", default="40", help="trades per second in total; 0 = as fast as possible; none")
    parser.add_argument("--volatility", default="1", help="multiplies price moves (default 1)")
    parser.add_argument("--replay", metavar="FILE", help="recorded ticks (.jsonl or .jsonl.gz) as the market")
    parser.add_argument("--speed", default="1", help="replay speed; 0 = as fast as possible (default 1)")
    parser.add_argument("--loop", action="store_true", help="start the replay again at its end, ids keep rising")
    parser.add_argument("--fault", action="append", default=[], metavar="FAULT", help="such as drop@10; repeatable")
    parser.add_argument("--list-faults", action="store_true", help="show all faults and how to write them")
    parser.add_argument("--public-limits", action="store_true", help="limit public REST to 10 requests/s, burst 15")
    parser.add_argument("--orders-file", metavar="FILE", help="keep accounts and orders there over a restart")
    parser.add_argument("--record", metavar="FILE", help="write generated ticks to FILE instead of serving")
    parser.add_argument("--ticks", default="10000", help="how many ticks to record (default 10000)")
    parser.add_argument("--json", action="store_true", help="report as one line of JSON")


def run(options: argparse.Namespace, say: Say) -> None:
    """Do what the options say; raises ValueError or OSError with one sentence."""
    if options.list_faults:
        _list_faults(options.json, say)
        return
    settings = _settings(options)
    if options.record:
        _record(options, settings, say)
    else:
        asyncio.run(_serve(settings, options.json, say))


def _settings(options: argparse.Namespace) -> Config:
    return config.build(
        products_text=options.products,
        seed=_whole("--seed", options.seed),
        rate=None if options.rate == "none" else _number("--rate", options.rate),
        volatility=_number("--volatility", options.volatility),
        replay_file=options.replay,
        speed=_number("--speed", options.speed),
        loop=options.loop,
        fault_texts=options.fault,
        host=options.host,
        port=_whole("--port", options.port),
        allow_remote=options.allow_remote,
        public_limits=options.public_limits,
        orders_file=options.orders_file,
    )


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"{name} must be a whole number, not {text!r}")
    return int(text)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, not {text!r}") from None


def _list_faults(as_json: bool, say: Say) -> None:
    kinds = faults.CATALOGUE.values()
    if as_json:
        say(
            json.dumps(
                [{"fault": k.name, "what": k.sentence, "args": {p.name: p.default for p in k.params}} for k in kinds]
            )
        )
        return
    say((faults.__doc__ or "").strip())
    for kind in kinds:
        arguments = ",".join(f"{param.name}={param.default}" for param in kind.params)
        say(f"  {kind.name + (':' + arguments if arguments else ''):<48} {kind.sentence}")


def _record(options: argparse.Namespace, settings: Config, say: Say) -> None:
    ticks, path = _whole("--ticks", options.ticks), Path(options.record)
    if not settings.rate:
        raise ValueError("--rate must be above 0 to record: it sets the recording's clock")
    try:
        record.write(
            path, ticks, seed=settings.seed, products=settings.products, rate=settings.rate,
            volatility=settings.volatility,
        )  # fmt: skip
    except OSError as error:
        raise OSError(f"--record {path}: {error.strerror or error}") from None
    say(json.dumps({"file": str(path), "ticks": ticks}) if options.json else f"{ticks} ticks written to {path}")


async def _serve(settings: Config, as_json: bool, say: Say) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def ready(_: Venue, port: int) -> None:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        addresses = {"ws": f"ws://{host}:{port}", "rest": f"http://{host}:{port}"}
        market = f"{len(settings.products)} products, {_pace(settings)}, seed {settings.seed}"
        say(
            json.dumps(addresses)
            if as_json
            else f"Simulated exchange on {addresses['ws']} and {addresses['rest']}: {market}"
        )

    await exchange.serve(settings, stop, ready)


def _pace(settings: Config) -> str:
    if settings.recording is not None:
        speed = "as fast as possible" if settings.speed == 0 else f"at {settings.speed:g}x"
        return f"{settings.recording.ticks} recorded ticks {speed}"
    if settings.rate is None:
        return "scripted trades only"
    return "trades as fast as possible" if settings.rate == 0 else f"{settings.rate:g} trades/s"
