"""The values of request and answer bodies: read strictly, each refusal with value, rule and remedy."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.domain import numbers
from apps.domain.opening import MAX_HOLDING
from apps.web.problems import FieldRefused

_PLAIN_NUMBER = r"^[0-9]{1,16}(\.[0-9]{1,12})?$"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_LOCAL_END = re.compile(r"T[0-9:.]*$")
MAX_SECONDS = int(MAX_HOLDING.total_seconds())
MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """The distance of a trailing stop: in price, or as a rate of the best price."""

    distance: Decimal
    is_rate: bool


def read_number(value: object, *, above_zero: bool = True) -> Decimal:
    """Return the number a JSON string spells. Raises FieldRefused."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        raise FieldRefused(value, "must be a string, so that no digit is lost on the way", f'write "{value}"')
    if not isinstance(value, str):
        raise FieldRefused(value, "must be a decimal number as a string", 'write it like "0.25"')
    try:
        number = numbers.parse(value)
    except numbers.NumberRefused as error:
        reason, _, remedy = str(error).rpartition("; ")
        raise FieldRefused(value, f"is {reason.rpartition(' is ')[2]}", remedy) from error
    if number < 0 or (above_zero and number == 0):
        least = "greater than 0" if above_zero else "0 or more"
        raise FieldRefused(value, f"must be {least}", f"give a number {least}")
    return number


@extend_schema_field({"type": "string", "pattern": _PLAIN_NUMBER, "example": "0.25"})
class Number(serializers.Field[Decimal, Any, str, Any]):
    """A decimal number as a string of plain digits: read strictly, written without trailing zeros."""

    def __init__(self, *, above_zero: bool = True, **kwargs: Any) -> None:
        self.above_zero = above_zero
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        """Return the number. Raises FieldRefused."""
        return read_number(data, above_zero=self.above_zero)

    def to_representation(self, value: Decimal) -> str:
        """Write the number in plain digits."""
        return numbers.plain(value)


@extend_schema_field({"type": "string", "pattern": r"^-?[0-9]{1,20}(\.[0-9]{1,12})?$", "example": "-12.5"})
class Amount(serializers.Field[Decimal, Any, str, Any]):
    """An amount in an answer, possibly negative, as a string of plain digits."""

    def to_representation(self, value: Decimal) -> str:
        """Write the amount in plain digits, at most twelve after the point."""
        return numbers.plain(value.quantize(Decimal(1).scaleb(-numbers.MAX_DECIMALS)) if _long(value) else value)


def _long(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent < -numbers.MAX_DECIMALS


@extend_schema_field({"type": "string", "pattern": r"^[0-9]{1,16}(\.[0-9]{1,12})?%?$", "example": "1.5%"})
class TrailField(serializers.Field[Trail, Any, str, Any]):
    """The distance of a trailing stop: "150" in price, "1.5%" of the best price."""

    def to_internal_value(self, data: Any) -> Trail:
        """Return the distance. Raises FieldRefused."""
        if isinstance(data, str) and data.endswith("%"):
            try:
                rate = read_number(data[:-1]).scaleb(-2)
            except FieldRefused as error:
                raise FieldRefused(data, str(error.problem["rule"]), 'write it like "150" or "1.5%"') from error
            if rate != round(rate, numbers.MAX_DECIMALS):
                raise FieldRefused(data, "must have at most 10 digits after the point", 'write it like "1.5%"')
            return Trail(distance=rate, is_rate=True)
        return Trail(distance=read_number(data), is_rate=False)

    def to_representation(self, value: Trail) -> str:
        """Write the distance as it is asked for."""
        return f"{numbers.plain(value.distance.scaleb(2))}%" if value.is_rate else numbers.plain(value.distance)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "format": "date-time", "example": "2026-12-31T16:00:00Z"},
            {"type": "integer", "minimum": 1, "maximum": MAX_SECONDS, "example": 3600},
        ]
    }
)
class Due(serializers.Field[datetime | timedelta, Any, str, Any]):
    """When a time stop is due: an instant with its offset, or whole seconds from now."""

    def to_internal_value(self, data: Any) -> datetime | timedelta:
        """Return the instant in UTC, or the span. Raises FieldRefused."""
        if isinstance(data, int) and not isinstance(data, bool):
            if not 1 <= data <= MAX_SECONDS:
                raise FieldRefused(data, f"must be from 1 to {MAX_SECONDS} seconds", "give a span within ten years")
            return timedelta(seconds=data)
        if isinstance(data, Decimal):
            raise FieldRefused(data, "must be whole seconds", f"write {int(data) if abs(data) < 10**9 else 3600}")
        return _instant(data)

    def to_representation(self, value: datetime | timedelta) -> str:
        """Write an instant."""
        return str(value)


def _instant(data: object) -> datetime:
    example = "write it like 2026-12-31T16:00:00Z, or as whole seconds from now like 3600"
    if not isinstance(data, str) or not _INSTANT.fullmatch(data):
        raise FieldRefused(data, "must be an instant in ISO 8601, or whole seconds from now", example)
    if _LOCAL_END.search(data):
        raise FieldRefused(data, "must carry its offset from UTC", f"write {data}Z if it is UTC")
    try:
        return datetime.fromisoformat(data).astimezone(UTC)
    except (ValueError, OverflowError):
        raise FieldRefused(data, "must be an instant that exists", example) from None


class Word(serializers.ChoiceField):
    """One of a few words, exactly as written here."""

    def __init__(self, words: type[StrEnum], **kwargs: Any) -> None:
        self.enum = words
        super().__init__(choices=[(str(word), word.name) for word in words], **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        """Return the member of the enum. Raises FieldRefused."""
        words = [str(word) for word in self.enum]
        if not isinstance(data, str) or data not in words:
            raise FieldRefused(data, f"must be one of {', '.join(words)}", f'write "{words[0]}" for example')
        return self.enum(data)

    def to_representation(self, value: Any) -> str:
        """Write the word."""
        return str(value)


class Symbol(serializers.CharField):
    """The symbol of an instrument, the venue's own name."""

    _SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._/-]{0,31}", re.ASCII)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Return the symbol; whether it exists is for the reader to say. Raises FieldRefused."""
        missing, value = self.validate_empty_values(data)
        return value if missing else self.to_internal_value(value)

    def to_internal_value(self, data: Any) -> str:
        """Return the symbol. Raises FieldRefused."""
        if not isinstance(data, str) or not self._SYMBOL.fullmatch(data):
            rule = "must be the symbol of an instrument: capitals, digits and - . _ / only"
            raise FieldRefused(data, rule, "choose one of /api/v1/instruments")
        return data


class Id(serializers.IntegerField):
    """The number of a row: in a body a JSON number, in an address its digits."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        """Return the number. Raises FieldRefused."""
        number = data
        if isinstance(data, str) and data.isascii() and data.isdigit() and len(data) < 20:
            number = int(data)
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MAX_ID:
            raise FieldRefused(data, "must be a whole number greater than 0", "give the id that the API showed")
        return number


class Note(serializers.CharField):
    """One line of text."""

    LONGEST = 300

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=self.LONGEST, allow_blank=True, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        """Return the text. Raises FieldRefused."""
        if not isinstance(data, str) or not data.isprintable() or len(data) > self.LONGEST:
            rule = f"must be one line of at most {self.LONGEST} characters, without control characters"
            raise FieldRefused(data, rule, "shorten it, or leave it out")
        return data


class Strict(serializers.Serializer[Any]):
    """An object whose fields are all known; anything else is refused by name."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values read; every wrong and every unknown field is reported at once."""
        if not isinstance(data, Mapping):
            raise FieldRefused(data, "must be a JSON object", 'write {"field": value, ...}')
        errors: dict[str, Any] = {}
        for name in data:
            if name not in self.fields:
                errors[name] = FieldRefused(data[name], "is not a field here", self._known()).detail
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            errors.update(error.detail)  # type: ignore[arg-type]  # a dict here
        if errors:
            raise serializers.ValidationError(errors)
        return value

    def _known(self) -> str:
        return f"leave it out; known are {', '.join(self.fields)}"
