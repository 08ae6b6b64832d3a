"""Every entry wish has a decision that says why, or why not; whatever comes twice is granted once."""

from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from apps.domain.errors import Refused
from apps.domain.restrictions import Scope, TradingState
from apps.market.models import Instrument
from apps.trading.models import Account, Decision, Position, RiskLimit, RiskProfile
from apps.trading.services import deciding, positions, restrictions
from apps.trading.services.positions import NoQuote
from tests import factories
from tests.factories import now, set_quote, stop, target, wish
from tests.trading.racing import captured
from tests.trading.risk.world import decisions, limit, signal, strategy, why_not

pytestmark = pytest.mark.django_db


def refused(account: Account, instrument: Instrument, *legs: object, **more: object) -> Refused:
    with pytest.raises(Refused) as caught:
        positions.open_position(wish(account, instrument, *legs, **more), now=now())
    return caught.value


# --- granted --------------------------------------------------------------------------------------------------------
def test_an_approved_wish_is_stored_with_its_position_and_every_verdict(
    account: Account, instrument: Instrument
) -> None:
    first = limit("max_order_value", amount=500)
    second = limit("max_open_positions", lots=3)
    position = factories.opened(
        account, instrument, stop("95"), quantity="2", actor="ann", request_key="k", source="api"
    )
    (found,) = decisions(account)
    assert (found.approved, found.position, found.instrument, found.reason) == (True, position, instrument, "")
    assert (found.side, found.quantity, found.price) == ("long", 2, 100)
    assert (found.actor, found.source, found.request_key) == ("ann", "api", "k")
    assert found.verdicts == [
        {
            "rule": "max_order_value",
            "allowed": True,
            "number": "200",
            "limit": "500",
            "formula": "price * quantity <= amount",
            "sentence": "the order is worth 200 USD, within the limit of 500 USD",
            "limit_id": first.pk,
            "scope": "site",
            "target": 0,
        },
        {
            "rule": "max_open_positions",
            "allowed": True,
            "number": "1",
            "limit": "3",
            "formula": "open lots + 1 <= lots",
            "sentence": "open lots would be 1, within the limit of 3",
            "limit_id": second.pk,
            "scope": "site",
            "target": 0,
        },
    ]


def test_without_a_limit_a_wish_is_granted_and_kept_all_the_same(account: Account, instrument: Instrument) -> None:
    position = factories.opened(account, instrument)
    (found,) = decisions(account)
    assert (found.approved, found.position, found.verdicts) == (True, position, [])


def test_a_signal_is_kept_with_its_strategy(account: Account, instrument: Instrument) -> None:
    given = signal(strategy(), instrument)
    factories.opened(account, instrument, signal_id=given.pk)
    (found,) = decisions(account)
    assert (found.signal, found.strategy, found.source) == (given, given.strategy, "signal")


# --- refused --------------------------------------------------------------------------------------------------------
def test_a_limit_refuses_with_number_limit_and_remedy_and_the_reasons_stay(
    account: Account, instrument: Instrument
) -> None:
    limit("max_order_value", amount=150)
    error = refused(account, instrument, quantity="2", request_key="k")
    assert str(error) == (
        "max_order_value: 200: the order is worth 200 USD, beyond the limit of 150 USD; choose a smaller quantity"
    )
    found = why_not(account)
    assert (found.position, found.request_key, found.quantity, found.price) == (None, "k", 2, 100)
    assert found.reason == str(error)
    assert [(each["rule"], each["allowed"]) for each in found.verdicts] == [("max_order_value", False)]
    assert not Position.objects.exists()


def test_every_problem_is_said_at_once_whoever_found_it(account: Account, instrument: Instrument) -> None:
    limit("max_order_value", amount=150)
    limit("max_open_positions", lots=1)
    limit("max_gross_exposure", amount=50, rate=0)
    error = refused(account, instrument, stop("105"), quantity="2")
    assert [problem.field for problem in error.problems] == ["stop_loss", "max_order_value", "max_gross_exposure"]
    assert [each["allowed"] for each in why_not(account).verdicts] == [False, True, False]


REFUSALS = {
    "money": ({"quantity": "100000"}, "the account has 1000000 free"),
    "lots of the venue": ({"quantity": "0.00005"}, "must be a multiple of the lot size"),
    "a quantity beyond all measure": ({"quantity": "1e30"}, "must be a number less than"),
    "a quantity that is none": ({"quantity": "NaN"}, "must be a number less than"),
}


@pytest.mark.parametrize(("more", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_that_is_no_limits_is_kept_as_well(
    account: Account, instrument: Instrument, more: dict[str, str], words: str
) -> None:
    refused(account, instrument, **more)
    assert words in why_not(account).reason


def test_a_stopped_site_and_a_full_strategy_and_a_missing_price_are_answered(
    account: Account, instrument: Instrument
) -> None:
    given = [signal(strategy(name), instrument) for name in ("a", "b")]
    factories.opened(account, instrument, signal_id=given[0].pk)
    again = signal(given[0].strategy, instrument)
    refused(account, instrument, signal_id=again.pk, max_lots=1)
    unpriced = factories.make_instrument("ETH-USD", price=None)
    with pytest.raises(NoQuote):
        positions.open_position(wish(account, unpriced), now=now())
    halt = restrictions.Order(state=TradingState.HALTED, scope=Scope.SITE, reason="a test", actor="ann", source="admin")
    restrictions.order(halt, now=now())
    refused(account, instrument, signal_id=given[1].pk)
    reasons = [each.reason for each in decisions(account) if not each.approved]
    assert ["of at most 1 lots" in reasons[0], "no fresh price" in reasons[1], "is halted" in reasons[2]] == [True] * 3
    assert len(reasons) == 3


def test_a_batch_is_all_or_none_and_the_wish_that_broke_it_is_named(account: Account, instrument: Instrument) -> None:
    limit("max_open_positions", lots=2)
    with pytest.raises(Refused):
        positions.open_many([wish(account, instrument, quantity=text) for text in "123"], now=now())
    assert why_not(account).quantity == 3, "the third sees what the first two take"
    assert len(decisions(account)) == 1
    assert not Position.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_refusal_survives_the_rollback_of_the_doors_own_transaction(account: Account, instrument: Instrument) -> None:
    limit("max_order_value", amount=50)
    with pytest.raises(Refused), deciding.recorded(), transaction.atomic():
        positions.open_position(wish(account, instrument, request_key="k"), now=now())
    assert why_not(account).request_key == "k"


@pytest.mark.django_db(transaction=True)
def test_a_bug_is_not_taken_for_a_refusal(account: Account, instrument: Instrument) -> None:
    def door() -> None:
        with deciding.recorded(), transaction.atomic():
            positions.open_position(wish(account, instrument), now=now())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        door()
    assert decisions(account) == []


# --- twice ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("key", ["request", "signal"])
def test_what_comes_again_makes_no_second_decision(account: Account, instrument: Instrument, key: str) -> None:
    more = {"request_key": "k"} if key == "request" else {"signal_id": signal(strategy(), instrument).pk}
    first, second = (positions.open_position(wish(account, instrument, **more), now=now()) for _ in range(2))
    assert (first.created, second.created, first.position) == (True, False, second.position)
    assert len(decisions(account)) == 1


@pytest.mark.parametrize("key", ["request", "signal"])
def test_the_database_itself_grants_nothing_twice(account: Account, instrument: Instrument, key: str) -> None:
    more = {"request_key": "k"} if key == "request" else {"signal": signal(strategy(), instrument)}
    values = {"account": account, "instrument": instrument, "side": "long", "quantity": 1, **more}
    for _ in range(2):
        Decision.objects.create(approved=False, **values)
    Decision.objects.create(approved=True, **values)
    with pytest.raises(IntegrityError, match="decision_approved_once"):
        Decision.objects.create(approved=True, **values)


def test_a_decision_is_never_changed(account: Account, instrument: Instrument) -> None:
    factories.opened(account, instrument)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Decision.objects.update(approved=False)


# --- who must pass --------------------------------------------------------------------------------------------------
def test_only_the_limits_of_the_scope_judge(account: Account, instrument: Instrument) -> None:
    other = factories.make_account(account.owner, name="other")
    ether = factories.make_instrument("ETH-USD")
    mine, idle = strategy("mine"), strategy("idle")
    for scope, mine_id, other_id in (
        (Scope.ACCOUNT, account.pk, other.pk),
        (Scope.INSTRUMENT, instrument.pk, ether.pk),
        (Scope.STRATEGY, mine.pk, idle.pk),
    ):
        limit("max_order_value", scope, mine_id, amount=1000)
        limit("max_order_value", scope, other_id, amount=1)
    factories.opened(account, instrument, signal_id=signal(mine, instrument).pk)
    (found,) = decisions(account)
    assert [(each["scope"], each["limit"]) for each in found.verdicts] == [
        ("account", "1000"),
        ("instrument", "1000"),
        ("strategy", "1000"),
    ]


def test_a_profiles_limits_bind_its_accounts_alone(account: Account, instrument: Instrument) -> None:
    careful = RiskProfile.objects.create(name="careful")
    RiskLimit.objects.create(rule="max_order_value", profile=careful, parameters={"amount": 50})
    factories.opened(account, instrument)
    account.risk_profile = careful
    account.save()
    assert [problem.field for problem in refused(account, instrument).problems] == ["max_order_value"]


def test_a_limit_that_is_switched_off_judges_nothing(account: Account, instrument: Instrument) -> None:
    row = limit("max_order_value", amount=50)
    row.enabled = False
    row.save()
    factories.opened(account, instrument)
    assert decisions(account)[0].verdicts == []


def test_what_a_strategy_holds_counts_for_its_own_limit_only(account: Account, instrument: Instrument) -> None:
    mine, other = strategy("mine"), strategy("other")
    limit("max_open_positions", Scope.STRATEGY, mine.pk, lots=1)
    factories.opened(account, instrument, signal_id=signal(other, instrument).pk)
    factories.opened(account, instrument)
    factories.opened(account, instrument, signal_id=signal(mine, instrument).pk)
    error = refused(account, instrument, signal_id=signal(mine, instrument).pk)
    assert [problem.value for problem in error.problems] == ["2"]


BROKEN = {
    "no such rule": ("no_such_rule", {}, "no Rule is called 'no_such_rule'"),
    "a parameter it does not know": ("max_order_value", {"amonut": 5}, "is not a parameter of max_order_value"),
    "a value out of bounds": ("max_drawdown", {"rate": 7}, "must be a number from"),
    "neither rate nor amount": ("max_gross_exposure", {"rate": 0}, "a rate or an amount must be above 0"),
    "no set of parameters": ("cooldown", [1, 2], "is not a parameter of cooldown"),
}


@pytest.mark.parametrize(("rule", "parameters", "words"), BROKEN.values(), ids=BROKEN)
def test_a_limit_that_cannot_judge_refuses_and_says_so(
    account: Account, instrument: Instrument, rule: str, parameters: object, words: str
) -> None:
    RiskLimit.objects.create(rule=rule, parameters=parameters)
    error = refused(account, instrument)
    assert words in str(error)
    assert "let a person mend or switch off this limit" in why_not(account).reason


# --- what it costs --------------------------------------------------------------------------------------------------
def statements_of_an_opening(account: Account, instrument: Instrument) -> list[str]:
    set_quote(instrument, "100")
    with captured() as found:
        positions.open_position(wish(account, instrument, target("150")), now=now())
    return [text for text in found if "risk_facts" in text]


def test_facts_are_read_once_and_only_when_a_rule_asks(account: Account, instrument: Instrument) -> None:
    assert statements_of_an_opening(account, instrument) == []
    limit("max_order_value", amount=10**6)
    assert statements_of_an_opening(account, instrument) == [], "the order says all there is to know"
    for rule in ("max_gross_exposure", "max_daily_loss", "leverage", "max_loss_streak", "max_order_rate"):
        limit(rule)
    statements_of_an_opening(account, instrument)  # prepares the statement
    assert len(statements_of_an_opening(account, instrument)) == 1


def test_the_account_is_locked_before_its_facts_are_read(account: Account, instrument: Instrument) -> None:
    limit("max_gross_exposure")
    with captured() as found:
        positions.open_position(wish(account, instrument), now=now())
    locked = next(i for i, text in enumerate(found) if "trading_account" in text and "FOR NO KEY UPDATE" in text)
    read = [i for i, text in enumerate(found) if "risk_facts" in text or "risk_limits" in text]
    assert read
    assert locked < min(read)
    assert connection.in_atomic_block
    assert Decimal(decisions(account)[0].verdicts[0]["number"]) == 100
