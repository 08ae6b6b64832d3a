"""Figures as JSON can say them: decimals as plain digits, instants in ISO 8601, computed ones beside kept ones."""

import dataclasses
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.domain import numbers


def of(value: Any) -> Any:
    """Return a figure, or whatever holds figures, as plain values."""
    match value:
        case Decimal():
            return numbers.plain(numbers.stored(value))
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case str():
            return str(value)
        case dict():
            return {str(key): of(each) for key, each in value.items()}
        case list() | tuple() if not hasattr(value, "_asdict"):
            return [of(each) for each in value]
        case _:
            return _named(value)


def _named(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return of(value._asdict())
    if not dataclasses.is_dataclass(value):
        return value
    kept = [field.name for field in dataclasses.fields(value)]
    computed = [name for name, each in vars(type(value)).items() if isinstance(each, property)]
    return {name: of(getattr(value, name)) for name in [*kept, *computed]}
