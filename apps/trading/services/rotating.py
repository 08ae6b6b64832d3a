"""Changing the key that seals credentials: may be killed at any moment, by anything, and run again.

Three steps, each of which finds out by itself what is left to do:

1. a new key stands first in the file, unless an earlier change left one there; the old one still opens everything;
2. every row is encrypted with the first key, all in one transaction;
3. the other keys leave the file, once every row was read with the first one alone.

Each step holds the keys alone in the database, so that two of these, or one and somebody who stores a credential, go
one after the other: nothing is ever sealed with a key that is about to leave.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.db import models, transaction

from apps.journal import services as journal
from apps.trading import sealing
from apps.trading.sealing import KeyUnusable
from apps.trading.services import keys

_TRIES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What a change of keys did: whether a key was made, how many rows it seals, how many keys left the file."""

    made: bool
    resealed: int
    retired: int


def create() -> bool:
    """Make the key file unless it is there, and say whether it was made.

    Raises KeyUnusable when it is missing although credentials are stored: a new one would open none of them.
    """
    with transaction.atomic():
        keys.hold(alone=True)
        if not sealing.path().exists() and any(_rows()):
            raise KeyUnusable(
                f"The key file {sealing.path()} is missing, but credentials are stored that only it opens: put it "
                "back, or let KEY_FILE name it."
            )
        return sealing.create()


def prepare() -> bool:
    """Put a new key first in the file and say whether that was left to do. Raises KeyUnusable."""
    with transaction.atomic():
        keys.hold(alone=True)
        _all_open()
        return sealing.fresh()


def rotate(*, actor: str = "") -> Rotation:
    """Encrypt every credential with a new key and take the old one out of the file.

    Raises KeyUnusable, and then every credential still opens with the file as it is.
    """
    made = prepare()
    for _ in range(_TRIES):
        count = reseal()
        with transaction.atomic():
            keys.hold(alone=True)
            if _behind() is not None:
                continue  # somebody else has begun another change meanwhile: its key stands first now
            retired = sealing.retire()
            facts = {"credentials": count, "retired": retired}
            journal.record("credential.rotated", "credential:all", actor=actor, payload=facts)
        return Rotation(made=made, resealed=count, retired=retired)
    raise KeyUnusable("Others change the keys at the same time: nothing is lost, run 'keys rotate' once more.")


def reseal() -> int:
    """Encrypt every row with the first key of the file, and return how many there are. Raises KeyUnusable."""
    with transaction.atomic():
        keys.hold(alone=True)
        count = 0
        for row in _rows():
            row.sealed = sealing.resealed(row.sealed, what=_name(row))
            row.save(update_fields=["sealed"])
            count += 1
    return count


def _behind() -> models.Model | None:
    """Return a row that the first key alone does not open; the keys are held alone. Raises KeyUnusable."""
    return next((row for row in _rows() if not sealing.opens(row.sealed)), None)


def _all_open() -> None:
    """Raise KeyUnusable before anything changes when a row is foreign to the file."""
    for row in _rows():
        sealing.resealed(row.sealed, what=_name(row))


def _rows() -> Iterator[Any]:
    """Yield every row that holds something sealed, of whatever app: broker keys, secrets of channels."""
    for model in apps.get_models():
        if any(field.name == "sealed" and isinstance(field, models.BinaryField) for field in model._meta.fields):
            yield from model._default_manager.order_by("pk")


def _name(row: models.Model) -> str:
    return f"{row._meta.verbose_name} {getattr(row, 'name', row.pk)!r}"
