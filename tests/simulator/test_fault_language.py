"""How faults are written, and what a wrong one is told."""

import pytest

from apps.simulator import effects, faults, garbage
from apps.simulator.faults import Plan, When


@pytest.mark.parametrize(
    ("text", "args", "when"),
    [
        ("drop", {}, When()),
        ("drop@10", {}, When(seconds=10.0)),
        ("stall@20:5", {"seconds": 5.0}, When(seconds=20.0)),
        ("close@2.5:1011,going away", {"code": 1011, "reason": "going away"}, When(seconds=2.5)),
        ("close:reason=bye", {"code": 1001, "reason": "bye"}, When()),
        ("gap@500t:3", {"count": 3, "product": ""}, When(trade=500)),
        ("gap:2,ETH-USD", {"count": 2, "product": "ETH-USD"}, When()),
        ("drop@30+15", {}, When(seconds=30.0, every=15.0)),
        ("clock_skew:-3.5", {"offset": -3.5}, When()),
        ("garbage:kind=nan", {"kind": "nan", "product": ""}, When()),
    ],
)
def test_faults_are_read_with_moment_and_arguments(text, args, when):
    fault = faults.parse(text)
    assert (fault.name, fault.args, fault.when) == (text.split("@")[0].split(":")[0], args, when)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("explode", "fault 'explode' is unknown, choose from: drop, close"),
        ("drop@soon", "the moment 'soon' must look like"),
        ("drop@", "the moment '' must look like"),
        ("gap@1.5t", "a trade number is whole"),
        ("drop:1", "one argument too many, it takes no arguments"),
        ("gap:x", "count must be a whole number, not 'x'"),
        ("gap:0", "count must be at least 1, not '0'"),
        ("gap:1.5", "count must be a whole number"),
        ("stall:nan", "seconds must be at least 0"),
        ("stall:inf", "seconds must be at least 0"),
        ("stall:-1", "seconds must be at least 0"),
        ("reorder:1", "count must be at least 2"),
    ],
)
def test_a_wrong_fault_is_refused_in_one_sentence(text, words):
    with pytest.raises(ValueError, match=r"^fault ") as caught:
        faults.parse(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_argument_is_named():
    with pytest.raises(ValueError, match=r"unknown argument 'sconds', it takes seconds"):
        faults.build("stall", {"sconds": 3})


def test_every_fault_in_the_catalogue_has_an_effect_and_the_other_way_round():
    assert set(effects.EFFECTS) == set(faults.CATALOGUE)


def test_garbage_all_means_every_kind():
    assert garbage.kinds("all") == garbage.KINDS
    with pytest.raises(ValueError, match="garbage 'x' is unknown"):
        garbage.kinds("x")


def test_a_plan_hands_out_each_fault_once_and_repeating_ones_again():
    plan = Plan(tuple(faults.parse(text) for text in ("drop@5", "stall@2:1", "close@1+2", "gap@3t", "quiet")))
    assert [fault.name for fault in plan.due(0.0)] == ["quiet"]
    assert [fault.name for fault in plan.due(2.5)] == ["close", "stall"]
    assert [fault.name for fault in plan.due(4.4)] == []
    assert [fault.name for fault in plan.due(6.0)] == ["close", "drop"]
    assert plan.next_trade == 3
    assert [fault.name for fault in plan.due_at_trade(4)] == ["gap"]
    assert plan.next_trade == float("inf")
    assert [row["fault"] for row in plan.waiting()] == ["close"]
