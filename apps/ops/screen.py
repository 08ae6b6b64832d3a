"""What `up` shows: one calm page on a terminal, one line now and then elsewhere."""

from datetime import UTC, datetime

from django.conf import settings
from rich.console import Group
from rich.table import Table
from rich.text import Text

from apps.ops.supervisor import State
from apps.ops.tally import Tally
from apps.ops.up import Site


def page(site: Site, seen: Tally, ready_seconds: float) -> Group:
    """Return the status page."""
    return Group(_addresses(site, ready_seconds), Text(), _figures(seen), Text(), _processes(site), _hint())


def line(seen: Tally) -> str:
    """Return the status as one line, for logs."""
    delays = seen.tick_to_close_ms
    return (
        f"{datetime.now(UTC):%H:%M:%S}  ticks/s {seen.ticks_per_second:g}  open {seen.open_now}  closes {seen.closes}  "
        f"tick to close p50 {_ms(delays.get('p50'))} p99 {_ms(delays.get('p99'))}  feed {seen.feed}"
    )


def _addresses(site: Site, ready_seconds: float) -> Table:
    table = Table.grid(padding=(0, 2))
    doors = site.doors
    table.add_row("Site", Text(f"{doors.site}/admin/", style="bold"), f"ready in {ready_seconds:.1f} s")
    table.add_row("API", f"{doors.site}/api/docs", f"ws://{settings.WEB_HOST}:{doors.web}/ws/v1")
    table.add_row("Queues", f"http://127.0.0.1:{doors.flower}/", f"admin / {doors.flower_password}")
    table.add_row("Servers", site.found.postgresql, site.found.redis)
    return table


def _figures(seen: Tally) -> Table:
    table = Table(box=None, padding=(0, 3), header_style="dim")
    for title in ("Ticks/s", "Open", "Opened", "Closes", "Waiting", "Tick to close p50", "p99", "Feed"):
        table.add_column(title, justify="right")
    delays = seen.tick_to_close_ms
    table.add_row(
        f"{seen.ticks_per_second:g}",
        str(seen.open_now),
        str(seen.opened),
        str(seen.closes),
        str(seen.waiting),
        _ms(delays.get("p50")),
        _ms(delays.get("p99")),
        seen.feed,
    )
    return table


def _processes(site: Site) -> Text:
    text = Text()
    for child in site.children():
        well = child.state is State.RUNNING
        text.append("● " if well else "○ ", style="green" if well else "red")
        text.append(child.name)
        if child.restarts:
            text.append(f" (restarted {child.restarts}x: {child.last_exit[:60]})", style="yellow")
        elif not well:
            text.append(f" {child.state}", style="red")
        text.append("   ")
    return text


def _hint() -> Text:
    return Text(f"\nCtrl-C stops everything. Logs: {settings.VAR}/log/", style="dim")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
