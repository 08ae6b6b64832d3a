"""Form fields that take numbers and instants as strictly as the API does."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.domain import numbers

_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_SPAN = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SPACES = " \t\r\n"


class NumberField(forms.DecimalField):
    """A decimal number in plain ASCII digits; shown without trailing zeros."""

    def __init__(self, *, positive: bool = False, **kwargs: Any) -> None:
        self._positive = positive
        kwargs["widget"] = UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> Any:
        """Return the number, or None. Raises ValidationError with the rule and the remedy."""
        if value in self.empty_values:
            return None
        try:
            return (numbers.parse_positive if self._positive else numbers.parse)(str(value).strip(SPACES))
        except numbers.NumberRefused as error:
            raise ValidationError(f"{error}.", code="invalid") from None

    def prepare_value(self, value: Any) -> Any:
        """Show a stored number in plain digits."""
        return numbers.plain(value) if isinstance(value, Decimal) else value


class LineField(forms.CharField):
    """One line of text."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"widget": UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}), **kwargs})


class SpelledField(LineField):
    """Text that stands for a value: it has changed when the value has, however it is written."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare what the texts stand for."""
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True


class TrailField(SpelledField):
    """The distance of a trailing stop: '150' in price, '1.5%' of the best price; a pair of number and is-a-rate."""

    def to_python(self, value: Any) -> Any:
        """Return (distance, is a rate), or None. Raises ValidationError."""
        spelled = (super().to_python(value) or "").strip(SPACES)
        if not spelled:
            return None
        is_rate = spelled.endswith("%")
        try:
            distance = numbers.parse_positive(spelled.removesuffix("%").rstrip(SPACES))
            return (numbers.parse(numbers.plain(distance / 100)), True) if is_rate else (distance, False)
        except numbers.NumberRefused as error:
            raise ValidationError(f"{error}; or a percentage like '1.5%'.", code="invalid") from None


class DueField(SpelledField):
    """When a time stop is due: an instant with its offset from UTC, or a span from now like 90s, 15m, 4h, 2d."""

    def to_python(self, value: Any) -> Any:
        """Return the instant or the span, or None. Raises ValidationError."""
        spelled = (super().to_python(value) or "").strip(SPACES)
        if not spelled:
            return None
        if span := _SPAN.fullmatch(spelled):
            return timedelta(**{_UNITS[span[2]]: int(span[1])})
        try:
            if _INSTANT.fullmatch(spelled):
                return datetime.fromisoformat(spelled).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        rule = f"{spelled[:60]!r} is neither an instant with its offset nor a span"
        raise ValidationError(f"{rule}; write it like 2026-12-31T16:00:00Z or 4h.", code="invalid")
