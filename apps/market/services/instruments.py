"""Changing an instrument's rules while everything runs; the listener follows within a second."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from apps.domain import numbers
from apps.domain.errors import Problem, Refused
from apps.journal import services as journal
from apps.market import cache
from apps.market.cache.rows import INSTRUMENTS
from apps.market.models import Instrument

CHANGEABLE = frozenset({"enabled", "calendar", "jump_band"})


def change(instrument_id: int, changes: Mapping[str, Any], *, actor: str) -> Instrument:
    """Change `enabled`, `calendar` or `jump_band`; an event says who did, unless nothing is different.

    Raises Refused with every value that breaks a rule; Instrument.DoesNotExist.
    """
    if unknown := set(changes) - CHANGEABLE:
        raise ValueError(f"not changeable: {', '.join(sorted(unknown))}")
    with transaction.atomic():
        instrument = Instrument.objects.get(pk=instrument_id)
        different = {name: value for name, value in changes.items() if getattr(instrument, name) != value}
        for name, value in different.items():
            setattr(instrument, name, value)
        _check(instrument, different)
        if different:
            Instrument.objects.filter(pk=instrument_id).update(**different)
            payload = {"instrument": instrument.symbol, "changes": {k: _written(v) for k, v in different.items()}}
            journal.record("instrument.changed", f"instrument:{instrument_id}", actor=actor, payload=payload)
            cache.forget_after_commit(tags=(INSTRUMENTS,))
    return instrument


def _check(instrument: Instrument, changed: Mapping[str, Any]) -> None:
    problems = []
    for name in changed:
        field = Instrument._meta.get_field(name)
        try:
            field.clean(getattr(instrument, name), instrument)  # type: ignore[union-attr] # a plain field, not a relation
        except ValidationError as error:
            remedy = "see the description at /api/docs"
            problems.append(Problem(field=name, value=str(changed[name]), rule=" ".join(error.messages), remedy=remedy))
    band = instrument.jump_band
    if "jump_band" in changed and not 0 < band < 10:
        remedy = "use 0.2 for twenty percent"
        problems.append(
            Problem(field="jump_band", value=numbers.plain(band), rule="must be above 0 and below 10", remedy=remedy)
        )
    if problems:
        raise Refused(*problems)


def _written(value: object) -> object:
    return numbers.plain(value) if isinstance(value, Decimal) else value
