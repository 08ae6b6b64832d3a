"""Questions before what cannot be taken back: each wants a reason, and a step that no single key does."""

from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, Select

MOST_REASON: Final = 200


class Answer(NamedTuple):
    """What a person decided: why, and which of the things to choose from."""

    reason: str
    chosen: str = ""
    flatten: bool = False


class Tick(Checkbox):
    """A box that is empty until it is ticked: the library's own tells both by colour alone."""

    BUTTON_INNER = " "

    def watch_value(self) -> None:
        """Draw what it stands at, and tell whoever asked."""
        self.BUTTON_INNER = "X" if self.value else " "
        super().watch_value()


class Question(ModalScreen[Answer | None]):
    """Asks for a reason and, where it is dangerous, for certainty; ends with the answer, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Leave it")]

    def __init__(
        self,
        title: str,
        note: str,
        act: str,
        *,
        choices: Sequence[tuple[str, str]] = (),
        flatten: bool = False,
        warning: str = "",
    ) -> None:
        super().__init__()
        self._title, self._note, self._act = title, note, act
        self._choices, self._flatten, self._warning = choices, flatten, warning

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(id="question"):
            yield Label(self._title, id="what")
            yield Label(self._note, id="note", markup=False)
            if self._warning:
                yield Label(self._warning, id="warning", markup=False)
            if self._choices:
                yield Select(self._choices, value=self._choices[0][1], allow_blank=False, id="choice", compact=True)
            yield Input(
                placeholder="Why? It is kept in the journal.", max_length=MOST_REASON, id="reason", compact=True
            )
            if self._flatten:
                yield Tick("also close every position there", id="flatten", compact=True)
            yield Tick("I am sure", id="sure", compact=True)
            with Horizontal(id="buttons"):
                yield Button(self._act, variant="error", id="act", disabled=True, compact=True)
                yield Button("Leave it (Esc)", id="leave", compact=True)

    def on_mount(self) -> None:
        """Begin with the reason."""
        self.query_one("#reason", Input).focus()

    @on(Input.Changed)
    @on(Checkbox.Changed)
    def arm(self) -> None:
        """Let the button be pressed once there is a reason and certainty."""
        reason = self.query_one("#reason", Input).value.strip()
        self.query_one("#act", Button).disabled = not (reason and self.query_one("#sure", Checkbox).value)

    @on(Input.Submitted)
    def go_on(self) -> None:
        """Enter in the reason leads on to the next field: it acts on nothing."""
        self.focus_next()

    @on(Button.Pressed, "#act")
    def act(self) -> None:
        """End with the answer."""
        chosen = str(self.query_one("#choice", Select).value) if self._choices else ""
        flatten = self._flatten and self.query_one("#flatten", Checkbox).value
        self.dismiss(Answer(self.query_one("#reason", Input).value.strip(), chosen, flatten))

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        """End without one."""
        self.dismiss(None)
