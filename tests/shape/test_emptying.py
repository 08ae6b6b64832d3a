"""A test that commits leaves the database to the next one as it found it."""

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import Account
from tests import emptying, factories


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("many", [emptying.MANY, 0], ids=["few rows", "many rows"])
def test_all_rows_go_but_content_types_and_permissions(
    account: Account, instrument: Instrument, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(emptying, "MANY", many)
    factories.opened(account, instrument, factories.stop("95"))
    assert Event.objects.exists(), "a table that refuses to have rows deleted"
    known = Permission.objects.count(), ContentType.objects.count()
    assert len(emptying.filled(connection)) > 5
    emptying.empty(connection)
    assert emptying.filled(connection) == {}
    assert (Permission.objects.count(), ContentType.objects.count()) == known
