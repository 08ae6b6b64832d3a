"""Conventions as data: spelled in texts, kept as JSON, refused with every problem."""

import json
from typing import Any

import pytest
from hypothesis import given

from apps.domain.backtests import spelling
from apps.domain.backtests.conventions import Conventions, Gap, Sizing, Slippage
from apps.domain.backtests.limits import Limits
from apps.domain.backtests.result import Reason
from apps.domain.errors import Refused
from apps.domain.legs import ExitReason
from tests.domain import engine_cases

# text, the fields it sets
SPELLED: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "a percentage is the very rate": ({"stop-loss": "2%"}, {"stop_loss": 0.02}),
    "a small percentage too": ({"fee": "0.05%"}, {"fee_rate": 0.0005}),
    "a plain rate": ({"fee": "0.002"}, {"fee_rate": 0.002}),
    "no level": ({"take_profit": "none"}, {"take_profit": None}),
    "a switch": ({"exit-on-signal": "no"}, {"exit_on_signal": False}),
    "gaps as yes and no": ({"gap-sl": "no", "gap-tp": "yes"}, {"gap_sl": Gap.LEVEL, "gap_tp": Gap.OPEN}),
    "a number as slippage": ({"slippage": "0"}, {"slippage": Slippage.PERCENT, "slippage_value": 0.0}),
    "a kind of slippage": ({"slippage": "none"}, {"slippage": Slippage.NONE}),
    "kind and number": ({"slippage": "spread:0.02%"}, {"slippage": Slippage.SPREAD, "slippage_value": 0.0002}),
    "words of the reference": ({"units": "frac", "fill": "next_open"}, {"units": "fractional", "fill": "next-open"}),
    "parts": ({"partial-exits": "2%:0.5, 4%:25%"}, {"partial_exits": ((0.02, 0.5), (0.04, 0.25))}),
    "a limit": ({"max-daily-loss": "5%", "cooldown": "3"}, {"limits": Limits(max_daily_loss=0.05, cooldown=3)}),
    "a sizing": ({"sizing": "risk", "size": "1%"}, {"sizing": Sizing.RISK, "size": 0.01}),
    "decimals": ({"round-px": "2"}, {"round_px": 2}),
}
WRONG: dict[str, tuple[dict[str, str], str]] = {
    "an unknown name": ({"stopp": "1"}, "stopp: 1: is not a convention"),
    "no number": ({"fee": "x"}, "is not a number"),
    "not finite": ({"cash": "inf"}, "is not a finite number"),
    "a wrong word": ({"order": "best"}, "use sl, tp, adaptive"),
    "a wrong switch": ({"open_first": "maybe"}, "neither yes nor no"),
    "half a bar": ({"time_stop": "1.5"}, "not a whole number"),
    "a stop of everything": ({"stop_loss": "100%"}, "must be a rate below 1"),
    "a negative fee": ({"fee": "-0.1"}, "must be at least 0"),
    "a size that is missing": ({"sizing": "fixed"}, "needs a size"),
    "parts of more than all": ({"partial_exits": "1%:0.6,2%:0.6"}, "more than the position"),
    "a limit of nothing": ({"max_order_value": "0"}, "greater than 0"),
}


@pytest.mark.parametrize(("texts", "fields"), SPELLED.values(), ids=SPELLED)
def test_texts_spell_conventions(texts: dict[str, str], fields: dict[str, Any]) -> None:
    assert Conventions.parse(texts) == Conventions(**fields)


@pytest.mark.parametrize(("texts", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(texts: dict[str, str], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        Conventions.parse(texts)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(Refused) as refused:
        Conventions.parse({"fee": "x", "order": "best", "nothing": "1"})
    assert {problem.field for problem in refused.value.problems} == {"fee", "order", "nothing"}
    with pytest.raises(Refused) as refused:
        Conventions(cash=-1.0, stop_loss=-0.1, limits=Limits(max_drawdown=2.0))
    assert {problem.field for problem in refused.value.problems} == {"cash", "stop_loss", "max_drawdown"}


@given(engine_cases.conventions(rich=True))
def test_json_keeps_everything(chosen: Conventions) -> None:
    assert Conventions.restored(json.loads(json.dumps(chosen.as_json()))) == chosen


def test_json_with_a_field_nobody_knows_is_refused() -> None:
    with pytest.raises(Refused, match="nobody"):
        Conventions.restored({"nobody": 1})


def test_the_defaults_are_the_canonical_set_with_slippage_on() -> None:
    plain = Conventions()
    assert (plain.fill, plain.base, plain.order, plain.end) == ("next-open", "fill", "sl", "mark")
    assert (plain.entry_bar, plain.open_first, plain.size_fee, plain.same_bar_reentry) == (True,) * 4
    assert (plain.gap_sl, plain.gap_tp, plain.units, plain.sides) == ("open", "open", "whole", "long")
    assert (plain.slippage, plain.slippage_value) == ("percent", 0.0005)


def test_reasons_have_the_words_of_live_trading() -> None:
    live = {reason.value for reason in ExitReason}
    assert {reason.label for reason in Reason} - live == {"end"}


@pytest.mark.parametrize("text", ["", "1e", "½", "nan", "--1"])
def test_a_number_is_a_number(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        spelling.number(text)
