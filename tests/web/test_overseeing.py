"""Who sees everybody's accounts: superusers, risk officers, administrators; and nobody else."""

import pytest

from apps.access import roles
from apps.access.models import Scope
from apps.trading import selectors
from tests.web.conftest import Caller, caller_for, make_user

SEES = {roles.VIEWER: False, roles.TRADER: False, roles.RISK_OFFICER: True, roles.ADMINISTRATOR: True}


@pytest.mark.parametrize(("role", "sees"), SEES.items(), ids=str)
def test_a_role_sees_all_accounts_or_only_its_own(ada: Caller, bob: Caller, role: str, sees: bool) -> None:
    ada.open()
    caller = caller_for(make_user("olga", role), Scope.READ)
    assert selectors.sees_all(caller.user) is sees
    assert caller.get("/api/v1/positions").json()["total"] == int(sees)
    assert caller.get("/api/v1/accounts").json()["total"] == 2 * sees
    assert bool(caller.get("/api/v1/events").json()["results"]) is sees


def test_a_risk_officer_may_close_what_others_hold_but_opens_nothing(ada: Caller) -> None:
    id_ = ada.open()["id"]
    officer = caller_for(make_user("olga", roles.RISK_OFFICER))
    body = {"instrument": "BTC-USD", "side": "long", "quantity": "0.1", "account": ada.user.accounts.get().pk}
    assert officer.post("/api/v1/positions", body).status_code == 403
    assert officer.post(f"/api/v1/positions/{id_}/close").status_code == 202


def test_who_is_switched_off_sees_nothing_whatever_the_role(ada: Caller) -> None:
    ada.open()
    officer = make_user("olga", roles.RISK_OFFICER, is_active=False)
    assert not selectors.sees_all(officer)
    assert not selectors.positions(officer).exists()
