"""How do figures of many statements agree while trading goes on? By being read from one snapshot of the database."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def one() -> Iterator[None]:
    """Let every statement see what was committed when the first of them began; short, for it is a transaction.

    Inside another transaction nothing is changed: whoever began that one has to answer for it.
    """
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield
