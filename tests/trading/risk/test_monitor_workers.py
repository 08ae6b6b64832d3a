"""Who looks at risk: a bell after trades that is rung once a second, beat's task, and the sweeper without either."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from apps.domain.risk.words import Action
from apps.market.models import Instrument
from apps.ops import careful
from apps.trading.models import Account, Position, RiskLimit, RiskMetric, RiskProfile, Violation
from apps.trading.services import monitoring, positions, risk
from tests.factories import now, wish
from tests.trading.risk.world import limit
from workers import queues
from workers.risk_sweep import OVERDUE_AFTER, RiskSweep
from workers.tasks import trading
from workers.timetable import JOBS, PLANNED

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def broken(open_position: Callable[..., Position]) -> RiskLimit:
    """A limit that says block, and is broken."""
    open_position(quantity="20")
    row = limit("max_gross_exposure", rate=0, amount=1000)
    row.action = Action.BLOCK
    row.save()
    return row


def test_the_task_looks(broken: RiskLimit) -> None:
    trading.watch_risk(later="an argument of a newer version")
    assert Violation.objects.get().acted_at is not None


def test_the_sweeper_looks_when_nobody_has_for_a_while(broken: RiskLimit) -> None:
    sweep = RiskSweep(lambda: True)
    sweep.sweep()
    assert (sweep.looks, Violation.objects.count()) == (1, 1)
    sweep.sweep()
    assert sweep.looks == 1, "somebody has just looked"
    RiskMetric.objects.update(measured_at=now() - OVERDUE_AFTER - timedelta(seconds=1))
    sweep.sweep()
    assert sweep.looks == 2


def test_the_sweeper_runs_in_a_thread_of_its_own_and_only_as_leader(broken: RiskLimit) -> None:
    leads = False
    sweep = RiskSweep(lambda: leads, every=0.02)
    sweep.start()
    try:
        sweep._stopping.wait(0.3)
        assert sweep.looks == 0
        leads = True
        for _ in range(200):
            if sweep.looks:
                break
            sweep._stopping.wait(0.05)
    finally:
        sweep.stop()
    assert sweep.looks == 1
    assert not sweep._thread.is_alive()


def test_beat_knows_both_tasks() -> None:
    every = {job.name: job.every for job in JOBS}
    assert every[queues.WATCH_RISK] == timedelta(seconds=5)
    assert "trading.thin_measures" in {job.task for job in PLANNED}


def test_a_new_site_has_limits_that_fit_their_rules_and_let_it_trade(account: Account, instrument: Instrument) -> None:
    careful.bind(account)
    assert RiskLimit.objects.count() == len(careful.LIMITS) == len(risk.limits(account))
    known = [limit_ for limit_ in risk.limits(account) if risk.is_continuous(limit_)]
    assert {one.rule for one in known} >= {"max_daily_loss", "max_drawdown", "leverage", "max_gross_exposure"}
    assert positions.open_position(wish(account, instrument, quantity="200"), now=now()).created
    assert monitoring.monitor(now()).standing == 0
    assert monitoring.look(account, now()).unsure == ()


def test_a_profile_that_a_person_changed_stays_so(account: Account) -> None:
    careful.bind(account)
    RiskLimit.objects.filter(rule="max_drawdown").delete()
    careful.bind(account)
    assert RiskProfile.objects.count() == 1
    assert not RiskLimit.objects.filter(rule="max_drawdown").exists()
