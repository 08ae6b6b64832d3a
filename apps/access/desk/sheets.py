"""From rows of settings to a CSV that a person can edit, and back to what their form is filled with.

Rows refer to others by name, so that a sheet can be read, and taken to another site.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.db import models

from apps.domain import numbers, sheets
from apps.domain.errors import Problem, Refused

PARAMETERS: Final = "parameters"  # the column of what a plug-in lets one choose, as JSON
PREFIX: Final = "parameter_"
MOST_ROWS: Final = 500
MOST_BYTES: Final = 200_000
_SEPARATOR: Final = ";"
_WORDS: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}


def write(columns: Iterable[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Return a CSV that no spreadsheet takes for formulas."""
    names = list(columns)
    lines = [[row.get(name, "") for name in names] for row in rows]
    return "".join([sheets.line(names), *(sheets.line(line) for line in lines)])


def read(text: str, columns: Iterable[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV, each column by its name. Raises Refused for what is no such sheet."""
    if len(text.encode()) > MOST_BYTES:
        raise _refused("sheet", f"{len(text.encode())} bytes", f"is more than {MOST_BYTES}", "split it")
    text = text.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    try:
        lines = list(
            csv.reader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",", strict=True)
        )
    except csv.Error as error:
        raise _refused("sheet", str(error), "is no CSV", "save it as CSV") from None
    head, *body = [line for line in lines if any(cell.strip() for cell in line)] or [[]]
    names = [_plain(name).strip() for name in head]
    wrong = [name for name in names if name not in set(columns)]
    if wrong or not names or len(set(names)) < len(names):
        value = ", ".join(wrong or names) or "an empty sheet"
        raise _refused("sheet", value[:200], "is no heading of such a sheet", "begin with an exported one")
    if len(body) > MOST_ROWS:
        raise _refused("sheet", f"{len(body)} rows", f"are more than {MOST_ROWS}", "split it")
    short = next((index for index, line in enumerate(body, start=2) if len(line) != len(names)), None)
    if short is not None:
        raise _refused("sheet", f"line {short}", "has another number of cells than the headings", "mend that line")
    return [dict(zip(names, map(_plain, line), strict=True)) for line in body]


def shown(row: models.Model, columns: Iterable[str]) -> dict[str, str]:
    """Return a row as cells."""
    return {name: _cell(getattr(row, name)) for name in columns}


def filled(form: forms.BaseForm, given: Mapping[str, str]) -> dict[str, Any]:
    """Return what a form is sent: what the row holds, with the cells that were given in its place. Raises Refused."""
    data = {name: _sent(form, name) for name in form.fields}
    for name, text in given.items():
        if name == PARAMETERS:
            data |= _given_parameters(form, text)
        elif name in form.fields:
            data[name] = _value(form.fields[name], name, text.strip())
    return {name: value for name, value in data.items() if value is not None and value is not False}


def natural(model: type[models.Model]) -> str:
    """Return the column by which a person knows the rows of a table."""
    unique = [field.name for field in model._meta.fields if field.unique and isinstance(field, models.CharField)]
    return unique[0] if unique else "pk"


def _plain(cell: str) -> str:
    """Take away the apostrophe that keeps a spreadsheet from computing a cell."""
    return cell[1:] if cell.startswith("'") and sheets.disarmed(cell[1:]) == cell else cell


def _cell(value: Any) -> str:
    if isinstance(value, models.Manager):
        return f"{_SEPARATOR} ".join(sorted(_name(each) for each in value.all()))
    if isinstance(value, models.Model):
        return _name(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return numbers.plain(value)
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else "" if value is None else str(value)


def _name(row: models.Model) -> str:
    return str(getattr(row, natural(type(row))))


def _sent(form: forms.BaseForm, name: str) -> Any:
    """Return what a browser would send of a field as it is now."""
    value = form[name].value() if name in form.fields else None
    if isinstance(value, list | tuple | models.QuerySet):
        return [getattr(each, "pk", each) for each in value]
    return getattr(value, "pk", value)


def _value(field: forms.Field, name: str, text: str) -> Any:
    """Return what a cell stands for, as a browser would send it. Raises Refused."""
    if isinstance(field, forms.BooleanField):
        if text.lower() not in _WORDS:
            raise _refused(name, text, "is neither yes nor no", "write one of them")
        return "on" if _WORDS[text.lower()] else None
    if isinstance(field, forms.ModelChoiceField):
        return _keys(field, name, text)
    if isinstance(field, forms.ChoiceField):
        # By the words the form shows, or as it is stored; words that stand for several choices choose none.
        offered: Any = field.choices
        meant = [str(key) for key, words in offered if str(words) == text]
        return meant[0] if len(meant) == 1 else text
    return text


def _keys(field: "forms.ModelChoiceField[Any]", name: str, text: str) -> Any:
    """Return the keys of the rows that a cell names, of those the form offers the person. Raises Refused."""
    names = [word.strip() for word in text.split(_SEPARATOR) if word.strip()]
    many = isinstance(field, forms.ModelMultipleChoiceField)
    if not many and len(names) > 1:
        raise _refused(name, text, "are several", "name one")
    offered: models.QuerySet[Any] = field.queryset  # type: ignore[assignment]  # every such field has rows to offer
    known = natural(offered.model)
    found = dict(offered.filter(**{f"{known}__in": names}).values_list(known, "pk")) if names else {}
    missing = [word for word in names if word not in found]
    if missing:
        raise _refused(name, ", ".join(missing)[:200], "is not there", "write it as the site has it")
    keys = [found[word] for word in names]
    return keys if many else next(iter(keys), "")


def _given_parameters(form: forms.BaseForm, text: str) -> dict[str, Any]:
    try:
        given = json.loads(text or "{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise _refused(PARAMETERS, text[:100], "is no JSON object", 'write it like {"rate": 0.2}')
    unknown = [name for name in given if PREFIX + name not in form.fields]
    if unknown:
        raise _refused(PARAMETERS, ", ".join(unknown)[:100], "is no parameter of this plug-in", "leave it out")
    return {PREFIX + name: "on" if value is True else value for name, value in given.items()}


def _refused(field: str, value: str, rule: str, remedy: str) -> Refused:
    return Refused(Problem(field=field, value=value, rule=rule, remedy=remedy))
