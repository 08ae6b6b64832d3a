"""What is done again and again, as data; `manage.py timetable` makes a row of each for beat.

JOBS come every so often and may come twice or not at all. PLANNED come at the instants of a calendar rule, each once.
"""

from datetime import timedelta

from apps.ops.jobs.planned import Planned
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
    _job(
        "reporting.reports",
        timedelta(minutes=5),
        "Makes every report whose time has ended by the calendar of its account and that nobody has made.",
    ),
    _job("ops.prune", timedelta(minutes=10), "Forgets old level changes and signs of life."),
    _job("ops.seal", timedelta(minutes=1), "Seals the journal with a chain of hashes (docs/security.md)."),
    _job("ops.measure", timedelta(minutes=1), "Keeps the key figures of the minute (docs/monitoring.md)."),
)
# The task gets its instant as the argument `slot`. Rules are written as in docs/calendars.md.
PLANNED = (
    Planned(name="ops.backup", task="ops.backup", rule="at 02:00 UTC", description="The nightly backup."),
    Planned(
        name="ops.drill",
        task="ops.drill",
        rule="at 04:00 UTC on Sun",
        description="Restores the last backup for trial, every week.",
    ),
    Planned(
        name="ops.clean",
        task="ops.clean",
        rule="at 03:00 UTC on Sun",
        description="Forgets runs of jobs, logs and ended sessions older than 30 days; never events, never money.",
    ),
    Planned(
        name="ops.ages",
        task="ops.ages",
        rule="at 08:00 UTC on Mon",
        description="Looks for broker keys, API tokens and certificates that are too old or end soon.",
    ),
    Planned(
        name="reporting.prune",
        task="reporting.prune",
        rule="at 03:10 UTC",
        description="Forgets messages and orders by Telegram older than 30 days.",
    ),
    Planned(
        name="trading.thin_measures",
        task="trading.thin_measures",
        rule="at 03:20 UTC",
        description="Keeps one measure of risk per hour, after 30 days.",
    ),
    Planned(
        name="market.calendars",
        task="market.calendars",
        rule="at 03:30 UTC",
        description="Keeps the trading hours of the calendars in use a year ahead.",
        at_once=timedelta(seconds=30),  # without them no other job knows when the market opens
    ),
    Planned(
        name="ops.thin",
        task="ops.thin",
        rule="at 03:40 UTC",
        description="Of key figures keeps one an hour after 3 days, and forgets kept log lines after 90 days.",
    ),
    Planned(
        name="reporting.daily",
        task="reporting.reports",
        rule="at close + 1m on sessions",
        calendar="XNYS",
        description="Daily reports after the close; accounts of other calendars are looked after every 5 minutes.",
    ),
    Planned(
        name="reporting.weekly",
        task="reporting.reports",
        rule="at close + 2m on last session of week",
        calendar="XNYS",
        description="Weekly reports on Friday, on Thursday when Friday is a holiday.",
    ),
    Planned(
        name="reporting.monthly",
        task="reporting.reports",
        rule="at close + 3m on last session of month",
        calendar="XNYS",
        description="Monthly reports on the last session.",
    ),
    Planned(
        name="reporting.morning",
        task="reporting.reports",
        rule="at open - 59m on sessions",
        calendar="XNYS",
        description="What to know before the session.",
    ),
)
