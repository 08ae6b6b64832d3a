"""What every rule has in common, those of third parties as well: schemas, answers for any facts, one file each."""

import json
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain import risk as package
from apps.domain.errors import Refused
from apps.domain.restrictions import Scope
from apps.domain.risk import contract
from apps.domain.risk.contract import Rule, Verdict
from apps.domain.risk.facts import Facts, Need, Price, Recent, Returns, Session
from apps.domain.risk.registry import RULES
from tests.domain.risk.world import BTC, ETH, closing, facts, held, history, judged, wish

names = pytest.mark.parametrize("name", RULES.names())
amounts = st.decimals(Decimal("0.00000001"), Decimal("999999999999999"), places=8)
signs = st.sampled_from([1, -1])
wishes = st.builds(
    lambda quantity, price, sign, of, strategy: wish(str(quantity), str(price), sign=sign, of=of, strategy=strategy),
    st.decimals(Decimal("0.00000001"), 10_000, places=8),
    st.decimals(Decimal("0.01"), 1_000_000, places=2),
    signs,
    st.sampled_from([BTC, ETH]),
    st.sampled_from([None, 5]),
)
holdings = st.lists(
    st.builds(
        lambda value, sign, of, lots, strategy: held(str(value), sign=sign, of=of, lots=lots, strategy=strategy),
        st.decimals(0, 10**9, places=8),
        signs,
        st.sampled_from([BTC, ETH]),
        st.integers(0, 50),
        st.sampled_from([None, 5]),
    ),
    max_size=5,
)
closings = st.lists(
    st.builds(
        lambda net, seconds, stopped: closing(str(net), ago=timedelta(seconds=seconds), stopped=stopped),
        st.decimals(-1000, 1000, places=2),
        st.integers(0, 200_000),
        st.booleans(),
    ),
    max_size=6,
).map(lambda rows: tuple(sorted(rows, key=lambda row: row.at, reverse=True)))
prices = st.builds(
    lambda last, spread, age, known: Price(
        last=last,
        bid=last if known else None,
        ask=last + spread if known else None,
        age=timedelta(seconds=age),
    ),
    amounts,
    st.decimals(0, 100, places=2),
    st.floats(-5, 1e6),
    st.booleans(),
)
equities = st.sampled_from([None, Decimal("0.00000001")]) | st.decimals(-(10**9), 10**9, places=8)
any_facts = st.builds(
    lambda scope, **more: facts(scope=scope[0], target=scope[1], **more),
    scope=st.sampled_from([(Scope.SITE, 0), (Scope.ACCOUNT, 7), (Scope.STRATEGY, 5), (Scope.INSTRUMENT, ETH)]),
    wish=wishes,
    equity=equities,
    holdings=holdings.map(tuple),
    closings=closings,
    recent=st.lists(st.builds(Recent, orders=st.integers(1, 99), instrument_id=st.just(BTC)), max_size=2).map(tuple),
    history=st.none()
    | st.builds(
        lambda start, worst, peak: history(str(start), str(worst), str(peak)),
        st.decimals(-1000, 10**9, places=2),
        st.decimals(-(10**6), 0, places=2),
        st.decimals(-1000, 10**9, places=2),
    ),
    price=st.none() | prices,
    session=st.none() | st.builds(Session, phase=st.sampled_from(["open", "pre", "closed"]), calendar=st.just("XNYS")),
    returns=st.sampled_from(
        [{}, {ETH: Returns(symbol="ETH-USD", correlation=0.5)}, {BTC: Returns(symbol="BTC-USD", correlation=None)}]
    ),
)


@names
@settings(max_examples=60, deadline=None)
@given(seen=any_facts)
def test_every_rule_answers_any_facts_with_a_verdict_that_can_be_stored(name: str, seen: Facts) -> None:
    found = judged(name, seen)
    assert isinstance(found, Verdict)
    assert found.rule == name
    assert found.formula
    assert found.sentence
    assert found.number.is_finite()
    assert found.limit.is_finite()
    assert found.allowed or found.remedy, "a refusal says what to do"
    stored = json.loads(json.dumps(found.as_json()))
    assert set(stored) == {"rule", "allowed", "number", "limit", "formula", "sentence"}
    assert all(len(stored[each]) <= 40 for each in ("number", "limit"))


GROWING = [
    "max_order_value",
    "max_position_size",
    "max_gross_exposure",
    "max_asset_exposure",
    "max_strategy_exposure",
    "leverage",
]


@pytest.mark.parametrize("name", GROWING)
@settings(max_examples=60, deadline=None)
@given(seen=any_facts, more=st.decimals(1, 1000, places=2))
def test_a_larger_order_is_never_allowed_where_a_smaller_one_is_refused(name: str, seen: Facts, more: Decimal) -> None:
    assert seen.wish is not None
    larger = wish(
        str(seen.wish.quantity * more),
        str(seen.wish.price),
        sign=seen.wish.sign,
        of=seen.wish.instrument_id,
        strategy=seen.wish.strategy_id,
    )
    if judged(name, seen.concerning(larger)).allowed:
        assert judged(name, seen).allowed


@settings(max_examples=100, deadline=None)
@given(seen=any_facts, rate=st.floats(0.01, 10), lower=st.floats(0.1, 1))
def test_a_tighter_limit_allows_nothing_more(seen: Facts, rate: float, lower: float) -> None:
    for name in ("max_gross_exposure", "max_net_exposure", "max_asset_exposure"):
        if judged(name, seen, rate=rate * lower).allowed:
            assert judged(name, seen, rate=rate).allowed


@names
def test_a_continuous_rule_judges_without_a_wish(name: str) -> None:
    if RULES.get(name).continuous:
        assert judged(name, facts(wish=None)).rule == name
        assert RULES.get(name).needs


@names
def test_every_rule_has_a_schema_with_help_and_bounds(name: str) -> None:
    plugin = RULES.get(name)
    schema = contract.schema(plugin)
    assert schema["title"] == name
    assert schema["description"].endswith(".")
    assert set(schema["properties"]) == {item.name for item in fields(plugin.Parameters)}
    assert all(each["description"] and "default" in each for each in schema["properties"].values())
    assert plugin.needs <= set(Need)


@names
def test_unknown_parameters_and_values_out_of_bounds_are_all_refused(name: str) -> None:
    plugin = RULES.get(name)
    numbers = [item.name for item in fields(plugin.Parameters) if "lowest" in item.metadata]
    wrong: dict[str, Any] = {"no_such": 1, "nor_this": 2}
    with pytest.raises(Refused) as caught:
        contract.build(plugin, wrong)
    assert len(caught.value.problems) == 2
    assert name in str(caught.value)
    for each in numbers:
        with pytest.raises(Refused, match="must be a "):
            contract.build(plugin, {each: float("nan")})


def test_a_rule_is_one_file_of_its_own_name() -> None:
    folder = Path(str(package.__file__)).parent
    ours = {name for name in RULES.names() if RULES.get(name).__module__.startswith("apps.")}
    assert {RULES.get(name).__module__.rpartition(".")[2] for name in ours} == ours
    assert ours <= {path.stem for path in folder.glob("*.py")}
    assert len(ours) == 18
    assert RULES.broken == {}
    assert issubclass(RULES.get("leverage"), Rule)
