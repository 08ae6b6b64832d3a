"""What has already happened when the exchange opens: history, and a last trade of each product from some time ago."""

from apps.simulator import history, market, tape
from apps.simulator.config import Config
from apps.simulator.products import Product

WARM_UP_TRADES = 20
WARM_UP_STEP_US = 400_000
OLDEST_LAST_TRADE_US = 107_000_000  # the oldest first ticker in the recorded session
DEFAULT_RATE = 5.0  # trades per second and product, where none follows from the settings
FIRST_SEQUENCE = 1_000_000_000


def open_tapes(config: Config, crowd: market.Market, now_us: int) -> dict[str, tape.Tape]:
    """A tape per product with its last trades before `now_us`; a recording brings its own ids."""
    if config.recording is not None:
        tracks = {track.product_id: track for track in config.recording.tracks}
        opened = {}
        for product in config.products:
            track = tracks[product.id]
            opened[product.id] = book = _tape(config, product, now_us, track.first_id - 1, track.first_sequence - 2)
            book.add(*_first_price(product), _last_trade_us(product, now_us))
        return opened
    return {product.id: _walked(config, product, crowd.walks[product.id], now_us) for product in config.products}


def _walked(config: Config, product: Product, walk: market.Walk, now_us: int) -> tape.Tape:
    stream = product.stream
    book = _tape(config, product, now_us, 1_000_000 + stream % 9_000_000, FIRST_SEQUENCE + stream)
    last_us = _last_trade_us(product, now_us)
    for number in range(WARM_UP_TRADES - 1, -1, -1):
        book.add(*walk.next(), last_us - number * WARM_UP_STEP_US)
    return book


def _tape(config: Config, product: Product, now_us: int, first_id: int, sequence: int) -> tape.Tape:
    count = len(config.products)
    first_us = _last_trade_us(product, now_us) - WARM_UP_STEP_US * WARM_UP_TRADES
    past = history.History(
        product,
        seed=config.seed,
        end_minute=first_us // tape.MINUTE_US,
        rate=config.rate / count if config.rate else DEFAULT_RATE,
        volatility=config.volatility,
    )
    return tape.Tape(product, past, first_id=first_id, sequence=sequence, keep=max(1_000, config.keep // count))


def _last_trade_us(product: Product, now_us: int) -> int:
    """The last trade is 0.1 to 107 seconds old, by product."""
    return now_us - 100_000 - product.stream * 2_654_435_761 % OLDEST_LAST_TRADE_US


def _first_price(product: Product) -> market.Print:
    text = f"{product.start_price:f}"
    return (float(text), text, 0.0, "0", "buy", text, "0.00000000", text, "0.00000000", 1)
