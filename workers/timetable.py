"""What is done again and again, as data; `manage.py timetable` makes a row of each for beat."""

from datetime import timedelta

from apps.ops.timetable import Job
from workers import queues


def _job(task: str, every: timedelta, description: str, *, expires: timedelta | None = None) -> Job:
    return Job(
        name=task,
        task=task,
        every=every,
        queue=queues.of(task),
        description=description,
        expires=expires or max(every, timedelta(seconds=5)),
    )


JOBS = (
    _job(
        "strategies.run_due",
        timedelta(seconds=1),
        "Asks every strategy whose bar has closed for its signals, and opens what accounts want on them.",
    ),
    _job("market.roll_up", timedelta(minutes=1), "Makes candles of what was traded lately."),
    _job(
        "market.partitions",
        timedelta(hours=1),
        "Makes the tables of the coming days and drops ticks too old to keep.",
    ),
    _job("market.calendars", timedelta(days=1), "Keeps the trading hours of the calendars in use a year ahead."),
    _job("market.find_gaps", timedelta(minutes=1), "Looks for prices that are missing, and writes them down."),
    _job("market.refill", timedelta(minutes=1), "Asks the venues for prices that are missing."),
    _job(
        "backtests.requeue",
        timedelta(minutes=1),
        "Calls workers to backtests whose call was lost or whose worker ended.",
    ),
    _job("backtests.tend", timedelta(seconds=5), "Calls workers to searches that have trials nobody computes."),
    _job(
        "trading.look_at_orders",
        timedelta(seconds=1),
        "Asks the venues about orders that are due, and keeps stops at the venues in step.",
    ),
    _job(
        "trading.watch_risk",
        timedelta(seconds=5),
        "Judges every limit on what accounts hold, measures them, and does what broken limits say.",
    ),
    _job("trading.thin_measures", timedelta(days=1), "Keeps one measure of risk per hour, after 30 days."),
    _job(
        "trading.reconcile",
        timedelta(seconds=30),
        "Compares every account at a broker with its venue: orders, fills, holdings, money.",
    ),
    _job(
        "trading.reconcile_doubtful",
        timedelta(seconds=5),
        "Compares the accounts that do not agree with their venues yet, or of which an order is unknown.",
    ),
    _job(
        "trading.carry_forward",
        timedelta(seconds=30),
        "Adds settled ledger lines to the stored balances.",
    ),
    _job(
        "reporting.notify",
        timedelta(seconds=2),
        "Makes messages of new events for whoever asked for them, and sends what is due.",
    ),
    _job("ops.backup", timedelta(minutes=10), "Begins the backup of 02:00 UTC unless this night's is there."),
    _job("ops.drill", timedelta(minutes=10), "Begins the drill of Sunday 04:00 UTC unless this week's has passed."),
    _job("reporting.prune", timedelta(days=1), "Forgets messages and orders by Telegram older than 30 days."),
    _job("ops.prune", timedelta(minutes=10), "Forgets old level changes and signs of life."),
)
