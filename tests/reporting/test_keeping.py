"""Secrets of channels follow the key file, and old rows are forgotten."""

from datetime import timedelta
from pathlib import Path

import pytest

from apps.access.models import User
from apps.reporting.models import Channel, Delivery
from apps.reporting.services import keeping, pruning
from apps.trading.services import rotating
from tests.factories import now
from tests.reporting.providers import Web
from tests.reporting.world import SECRET, Clock, begin, route, say, webhook, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("key_file")]


def test_channels_still_open_after_the_keys_were_rotated(web: Web, person: User, key_file: Path) -> None:
    row = webhook(person, web.url)
    before = key_file.read_text()
    rotating.rotate(actor="boss")
    assert key_file.read_text() != before
    assert keeping.everything(Channel.objects.get(pk=row.pk))["secret"] == SECRET


def test_what_was_delivered_is_forgotten_and_what_was_given_up_is_kept(web: Web, person: User, clock: Clock) -> None:
    begin(clock)
    route(webhook(person, web.url), person, kinds="feed.*")
    for _ in range(3):
        say()
    work(clock)
    Delivery.objects.update(happened_at=now() - timedelta(days=40), due_at=now() - timedelta(days=40))
    Delivery.objects.filter(pk=Delivery.objects.order_by("id")[0].pk).update(status="dead")
    pruning.prune(before=now() - timedelta(days=30))
    assert [row.status for row in Delivery.objects.all()] == ["dead"]
