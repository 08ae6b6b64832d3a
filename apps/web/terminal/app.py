"""The terminal desk itself: reads the API, listens to the gateway, draws, and asks before it acts."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Footer, RichLog, Static, TabbedContent, TabPane

from apps.domain.errors import Unavailable
from apps.web.terminal import acting, overview, reading, tables, words
from apps.web.terminal.board import Board
from apps.web.terminal.site import Away, Declined, SignedOut, Site
from apps.web.terminal.stream import Stream

LIVE_EVERY, ALONE_EVERY = 10.0, 3.0  # seconds between readings with the gateway, and without it
SOON: Final = 0.5  # seconds after an event until it is read what became of it
TODAY_EVERY: Final = 6  # readings between two questions for the day's figure
STALE_AFTER: Final = 25.0  # seconds
DRAW_EVERY: Final = 0.5
LONGEST_WAIT: Final = 20.0
SIGNED_OUT: Final = 1
TABS: Final = ("overview", "positions", "orders", "exits", "log")


class Desk(App[None]):
    """One person's desk in a terminal of 80 x 24 or more."""

    CSS_PATH = "desk.tcss"
    TITLE = "Trading desk"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"look('{name}')", name.title(), show=False) for number, name in enumerate(TABS, 1)),
        Binding("c", "leave_position", "Close position"),
        Binding("x", "stop", "Stop trading"),
        Binding("a", "allow", "Allow again"),
        Binding("r", "read_now", "Read now"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, site: Site, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self.site = site
        self.known = Board()
        self.live = False  # the gateway speaks
        self.trouble = ""  # why the last reading failed
        self._clock = clock
        self._due = asyncio.Event()
        self._shown_event = 0
        self._readings = 0
        self._failures = 0

    def compose(self) -> ComposeResult:
        """Lay out the desk."""
        yield Static(id="bar")
        yield Static(id="stale", markup=False)
        with TabbedContent(initial=TABS[0]):
            with TabPane("1 Overview", id="overview"), VerticalScroll():
                yield Static(id="glance")
            for number, name in enumerate(("positions", "orders", "exits"), 2):
                with TabPane(f"{number} {name.title()}", id=name):
                    yield DataTable(id=f"{name}-table", cursor_type="row", zebra_stripes=True)
            with TabPane("5 Log", id="log"):
                yield RichLog(id="lines", max_lines=1000, wrap=True)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin to read, to listen and to draw."""
        for name, columns in tables.COLUMNS.items():
            self._table(name).add_columns(*columns)
        self._draw()
        self.set_interval(DRAW_EVERY, self._draw)
        self._keep_reading()
        self._listen()

    def on_unmount(self) -> None:
        """Let go of the site."""
        self.site.close()

    # --- what is known ----------------------------------------------------------------------------------------------

    @work(exclusive=True, group="reading")
    async def _keep_reading(self) -> None:
        while True:
            wait = await self._read()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._due.wait()
                    await asyncio.sleep(SOON)
            self._due.clear()

    @work(exclusive=True, group="listening")
    async def _listen(self) -> None:
        await Stream(self.site, self._heard, self._contact).follow()

    async def _read(self) -> float:
        """Read everything once; return the seconds until it is worth reading again without a reason."""
        try:
            found = await asyncio.to_thread(reading.read, self.site, self._clock(), today=self._today())
        except SignedOut as error:
            self.exit(return_code=SIGNED_OUT, message=f"{error} Make one: manage.py apitoken create --help")
            return LONGEST_WAIT
        except Declined as error:
            return self._failed(f"the site says no: {error}", 0)
        except Away as error:
            return self._failed(str(error), error.after)
        self.known.take(found)
        self.trouble, self._failures = "", 0
        self._readings += 1
        self._draw()
        return LIVE_EVERY if self.live else ALONE_EVERY

    def _failed(self, why: str, after: float) -> float:
        self.trouble = why
        self._failures += 1
        self._draw()
        return max(after, min(2.0**self._failures / 2, LONGEST_WAIT))

    def _today(self) -> dict[str, Decimal] | None:
        """Return the day's figure of the reading before, unless it is time to ask for it again."""
        if self.known.reading is None or self._readings % TODAY_EVERY == 0:
            return None
        same_day = self.known.reading.at.date() == self._clock().date()
        return dict(self.known.reading.today) if same_day else None

    def _heard(self, message: dict[str, Any]) -> None:
        if message["type"] == "quote":
            self.known.quoted(message["data"])
        elif "event" in message:
            self.known.happened(
                {
                    "id": message["event"],
                    "kind": message["type"],
                    "at": message["timestamp"],
                    "subject": message["subject"],
                    "payload": message["data"],
                }
            )
            self._due.set()

    def _contact(self, live: bool) -> None:
        if live and not self.live:
            self._due.set()  # something may have happened while nobody listened
        self.live = live
        self._draw()

    # --- what is shown ----------------------------------------------------------------------------------------------

    def stale(self) -> str:
        """Say why what is shown is not up to date; empty while it is."""
        age = self.known.age(self._clock())
        if not self.trouble and (age is None or age < STALE_AFTER):
            return ""
        seen = "Nothing was read yet." if age is None else f"What you see is {words.span(age)} old."
        return f"NOT UP TO DATE: {self.trouble or 'the site is slow to answer'}. {seen} Stops work without this desk."

    def _draw(self) -> None:
        if not self.query("#lines"):
            return
        stale = self.stale()
        self.query_one("#bar", Static).update(self._bar(bool(stale)))
        banner = self.query_one("#stale", Static)
        banner.update(stale)
        banner.set_class(bool(stale), "shown")
        self.query_one("#glance", Static).update(overview.draw(self.known, self._clock()))
        for name, rows in tables.ROWS.items():
            tables.show(self._table(name), rows(self.known))
        self._write_log()

    def _bar(self, stale: bool) -> Text:
        found = self.known.reading
        state = str(found.state["state"]) if found else "unknown"
        line = Text(" Trading ").append(f" {state.upper()} ", f"bold reverse {words.TONES[state]}")
        line.append(f"  {found.total if found else 0} open  ")
        contact = (
            ("NOT UP TO DATE", words.BAD) if stale else ("live", words.GOOD) if self.live else ("asking", words.WARN)
        )
        line.append("● ", contact[1]).append(contact[0], contact[1])
        return line.append(f"  {words.clock(found.at if found else None)}Z  {self.site.address}", words.DIM)

    def _write_log(self) -> None:
        log = self.query_one("#lines", RichLog)
        for event in reversed(self.known.newest()):
            if event["id"] > self._shown_event:
                log.write(words.told(event))
                self._shown_event = event["id"]

    def _table(self, name: str) -> tables.Table:
        return self.query_one(f"#{name}-table", DataTable)

    # --- what is done -----------------------------------------------------------------------------------------------

    def action_look(self, name: str) -> None:
        """Show a tab, and let keys move in it."""
        self.query_one(TabbedContent).active = name
        if name in tables.COLUMNS:
            self._table(name).focus()

    def action_read_now(self) -> None:
        """Read the site at once."""
        self._due.set()

    @work
    async def action_leave_position(self) -> None:
        """Ask, then close the position that the cursor is on."""
        self.action_look("positions")
        key = tables.key_under_cursor(self._table("positions"))
        row = self.known.position(int(key)) if key else None
        if row is None:
            self.notify("There is no open position to close.", severity="warning")
            return
        answer = await self.push_screen_wait(acting.ask_to_close(self.known, row, self.stale()))
        if answer is not None:
            await self._do(acting.closing(row, answer))

    @work
    async def action_stop(self) -> None:
        """Ask, then stop trading."""
        answer = await self.push_screen_wait(acting.ask_to_stop(self.known, self.stale()))
        if answer is not None:
            await self._do(acting.stopping(answer))

    @work
    async def action_allow(self) -> None:
        """Ask, then allow trading again where it is stopped."""
        question = acting.ask_to_allow(self.known, self.stale())
        if question is None:
            self.notify("Trading is not stopped anywhere.")
            return
        answer = await self.push_screen_wait(question)
        if answer is not None:
            await self._do(acting.allowing(answer))

    async def _do(self, wish: acting.Wish) -> None:
        try:
            told = await asyncio.to_thread(self.site.tell, wish.path, wish.body)
        except Declined as error:
            self.notify(str(error), title="Not done", severity="error", timeout=15, markup=False)
        except Unavailable as error:
            note = f"{error}. It may have been done: look before you ask again."
            self.notify(note, title="No answer", severity="error", timeout=30, markup=False)
        else:
            self.notify(wish.done(told), timeout=8, markup=False)
        self._due.set()
