"""The strategy's form made of its plug-in, and the gate's pages: who moves a strategy says why."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse

from apps.access.models import User
from apps.backtests.models import Run
from apps.backtests.services import gate
from apps.domain.backtests.gate import Stage
from apps.domain.strategies import contract
from apps.domain.strategies.registry import STRATEGIES
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.strategies import versions
from apps.strategies.models import Signal, Strategy

pytestmark = pytest.mark.django_db
Staff = Callable[..., tuple[User, Client]]
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def strategy(btc: Instrument) -> Strategy:
    made = Strategy.objects.create(name="Trend", plugin="sma_cross", parameters={"fast": 5}, bar_seconds=60)
    made.instruments.set([btc])
    return made


@pytest.fixture
def run(strategy: Strategy) -> Run:
    """A finished backtest of the strategy as it is."""
    version = versions.of(strategy.plugin, strategy.parameters, strategy.bar_seconds)
    return Run.objects.create(
        state="done",
        plugin="sma_cross",
        code_hash=version.code_hash,
        parameters=dict(version.parameters),
        bar_seconds=60,
        source="BTC-USD",
        since=NOW,
        until=NOW,
        trades=b"x",
        equity=b"x",
        made_at=NOW,
    )


def fresh(strategy: Strategy) -> Strategy:
    return Strategy.objects.get(pk=strategy.pk)


def change(strategy: Strategy) -> str:
    return reverse("admin:strategies_strategy_change", args=[strategy.pk])


def move(strategy: Strategy, stage: str) -> str:
    return reverse("admin:backtests_gate_move", args=[strategy.pk, stage])


def sent(strategy: Strategy, **given: object) -> dict[str, object]:
    """What a person sends with the strategy's form."""
    return {
        "name": strategy.name,
        "plugin": strategy.plugin,
        "bar_seconds": strategy.bar_seconds,
        "instruments": list(strategy.instruments.values_list("pk", flat=True)),
        "parameter_fast": 5,
        "parameter_slow": 20,
        "allocations-TOTAL_FORMS": 0,
        "allocations-INITIAL_FORMS": 0,
        **given,
    }


def text(answer: object) -> str:
    return answer.content.decode()


def inputs(page: str) -> set[str]:
    return set(re.findall(r'name="parameter_(\w+)"', page))


# --- the form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plugin", STRATEGIES.names())
def test_the_form_has_a_field_for_each_parameter_of_each_plugin(desk: Client, plugin: str) -> None:
    page = text(desk.get(f"{reverse('admin:strategies_strategy_add')}?plugin={plugin}"))
    properties = contract.schema(STRATEGIES.get(plugin))["properties"]
    assert inputs(page) == set(properties)
    for name, item in properties.items():
        if "minimum" in item:
            field = re.search(rf'<input[^>]*name="parameter_{name}"[^>]*>', page)
            assert field is not None
            assert 'type="number"' in field[0]
            assert f'min="{item["minimum"]}"' in field[0]
            assert f'max="{item["maximum"]}"' in field[0]


def test_there_is_no_raw_json_for_people(desk: Client, strategy: Strategy) -> None:
    page = text(desk.get(change(strategy)))
    assert 'name="parameters"' not in page
    assert re.search(r'name="parameter_fast"[^>]*', page) is not None
    assert re.search(r'value="5"[^>]*name="parameter_fast"|name="parameter_fast"[^>]*value="5"', page)


def test_another_plugin_is_asked_for_with_its_own_parameters(desk: Client, strategy: Strategy) -> None:
    assert inputs(text(desk.get(f"{change(strategy)}?plugin=momentum"))) == {"lookback", "threshold"}
    page = text(desk.get(change(strategy)))
    field = re.search(r'<select[^>]*name="plugin"[^>]*>', page)
    assert field is not None
    assert 'hx-select=".parameters"' in field[0]


def test_what_is_saved_is_what_differs_from_the_defaults(desk: Client, strategy: Strategy) -> None:
    answer = desk.post(change(strategy), sent(strategy, parameter_fast=10, parameter_slow=30))
    assert answer.status_code == 302, text(answer)
    assert fresh(strategy).parameters == {"slow": 30}
    event = Event.objects.get(kind="strategy.changed")
    assert event.actor == "root"
    assert event.payload["changes"] == {"parameter_fast": "10", "parameter_slow": "30"}


def test_a_plugin_is_changed_together_with_its_parameters(desk: Client, strategy: Strategy) -> None:
    given = sent(strategy, plugin="momentum", parameter_lookback=7, parameter_threshold="0.5")
    assert desk.post(change(strategy), given).status_code == 302
    assert (fresh(strategy).plugin, fresh(strategy).parameters) == ("momentum", {"lookback": 7, "threshold": 0.5})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"parameter_fast": 0}, "greater than or equal to 1"),
        ({"parameter_fast": "x"}, "whole number"),
        ({"parameter_fast": "2.5"}, "whole number"),
        ({"parameter_fast": ""}, "required"),
        ({"parameter_fast": 30}, "fast"),
        ({"plugin": "no_such"}, "not one of the available choices"),
        ({"plugin": "momentum"}, "required"),
    ],
)
def test_what_the_form_refuses(desk: Client, strategy: Strategy, given: dict[str, object], words: str) -> None:
    answer = desk.post(change(strategy), sent(strategy, **given))
    assert answer.status_code == 200
    assert words in text(answer)
    assert fresh(strategy).parameters == {"fast": 5}
    assert not Event.objects.exists()


def test_a_new_strategy_begins_as_a_draft(desk: Client, btc: Instrument) -> None:
    given = {"plugin": "momentum", "parameter_lookback": 3, "parameter_threshold": 0, "name": "New", "bar_seconds": 60}
    counts = {"allocations-TOTAL_FORMS": 0, "allocations-INITIAL_FORMS": 0}
    answer = desk.post(reverse("admin:strategies_strategy_add"), {**given, **counts, "instruments": [btc.pk]})
    assert answer.status_code == 302
    made = Strategy.objects.get()
    assert (made.stage, made.parameters, made.instruments.get()) == ("draft", {"lookback": 3}, btc)
    assert Event.objects.get().kind == "strategy.added"


def test_saving_other_parameters_voids_the_evidence_and_the_same_ones_do_not(desk: Client, strategy: Strategy) -> None:
    gate.override(strategy.pk, Stage.BACKTESTED, reason="for a test", actor="root")
    desk.post(change(strategy), sent(strategy, name="Renamed"))
    assert (fresh(strategy).name, fresh(strategy).stage) == ("Renamed", "backtested")
    desk.post(change(strategy), sent(fresh(strategy), parameter_fast=6))
    assert fresh(strategy).stage == "draft"
    assert Event.objects.get(kind="strategy.voided").actor == "root"


def test_the_form_cannot_write_a_stage(desk: Client, strategy: Strategy) -> None:
    desk.post(change(strategy), sent(strategy, stage="live", proven="x", failures=3))
    assert (fresh(strategy).stage, fresh(strategy).failures) == ("draft", 0)


def test_saving_does_not_undo_a_promotion_made_meanwhile(desk: Client, strategy: Strategy) -> None:
    """The row is written by columns: what the form does not hold stays."""
    gate.override(strategy.pk, Stage.BACKTESTED, reason="for a test", actor="root")
    Strategy.objects.filter(pk=strategy.pk).update(failures=2)
    desk.post(change(strategy), sent(strategy, name="Renamed"))
    assert (fresh(strategy).stage, fresh(strategy).failures) == ("backtested", 2)


def test_switching_on_gives_all_tries_anew(desk: Client, strategy: Strategy) -> None:
    Strategy.objects.filter(pk=strategy.pk).update(failures=4)
    desk.post(change(strategy), sent(strategy, enabled="on"))
    assert (fresh(strategy).enabled, fresh(strategy).failures) == (True, 0)


def test_the_last_signals_are_shown(desk: Client, strategy: Strategy, btc: Instrument) -> None:
    for number in range(12):
        Signal.objects.create(
            strategy=strategy,
            instrument=btc,
            bar_at=datetime(2026, 1, 1, number, tzinfo=UTC),
            stance=1,
            price=1,
            made_at=NOW,
            reason=f"reason-{number}<",
        )
    page = text(desk.get(change(strategy)))
    assert re.findall(r"reason-(\d+)&lt;", page) == [str(number) for number in range(11, 1, -1)]


# --- the gate -------------------------------------------------------------------------------------------------------


def test_the_gate_says_what_is_missing(desk: Client, strategy: Strategy) -> None:
    page = text(desk.get(reverse("admin:backtests_gate", args=[strategy.pk])))
    assert "there is no backtest of it yet" in page
    assert "Promote to" not in page
    assert "Override" in page


def test_promoting_by_evidence(desk: Client, strategy: Strategy, run: Run) -> None:
    page = text(desk.get(reverse("admin:backtests_gate", args=[strategy.pk])))
    assert "Promote to backtested" in page
    assert str(run) in text(desk.get(move(strategy, "backtested")))
    assert fresh(strategy).stage == "draft", "looking moves nothing"
    answer = desk.post(move(strategy, "backtested"))
    assert answer.status_code == 302
    assert fresh(strategy).stage == "backtested"
    assert Event.objects.get().payload["evidence"]["of"] == str(run)


def test_without_evidence_a_reason_is_asked_for(desk: Client, strategy: Strategy) -> None:
    refused = desk.post(move(strategy, "backtested"), {"reason": " "})
    assert "required" in text(refused)
    assert fresh(strategy).stage == "draft"
    desk.post(move(strategy, "backtested"), {"reason": "I know it"})
    event = Event.objects.get(kind="strategy.overruled")
    assert (event.actor, event.payload["reason"]) == ("root", "I know it")


def test_pausing_and_going_back(desk: Client, strategy: Strategy) -> None:
    for stage in (Stage.BACKTESTED, Stage.PAPER):
        gate.override(strategy.pk, stage, reason="for a test", actor="root")
    page = text(desk.get(reverse("admin:backtests_gate", args=[strategy.pk])))
    assert "Pause" in page
    desk.post(move(strategy, "paused"), {"reason": "holidays"})
    page = text(desk.get(reverse("admin:backtests_gate", args=[strategy.pk])))
    assert "Back to paper" in page
    assert "Back to live" not in page
    desk.post(move(strategy, "paper"), {"reason": ""})
    assert fresh(strategy).stage == "paper"


def test_a_stage_that_cannot_follow_is_refused_with_the_rule(desk: Client, strategy: Strategy) -> None:
    answer = desk.post(move(strategy, "live"), {"reason": "at once"})
    assert "cannot follow draft" in text(answer)
    assert desk.get(move(strategy, "nonsense")).status_code == 404
    assert desk.get(reverse("admin:backtests_gate", args=[999])).status_code == 404


def test_a_plugin_that_is_gone_leaves_the_pages_standing(desk: Client, strategy: Strategy) -> None:
    Strategy.objects.update(plugin="gone")
    assert "gone" in text(desk.get(reverse("admin:backtests_gate", args=[strategy.pk])))
    assert "not installed" in text(desk.get(change(strategy)))


def test_a_viewer_sees_the_gate_and_moves_nothing(staff: Staff, strategy: Strategy, run: Run) -> None:
    _, browser = staff("viewer", "strategies.view_strategy", "backtests.view_run")
    page = text(browser.get(reverse("admin:backtests_gate", args=[strategy.pk])))
    assert str(run) in page
    assert "Promote to" not in page
    assert "Override" not in page
    for stage in ("backtested", "retired"):
        for address in (move(strategy, stage), f"{move(strategy, stage)}?override"):
            assert browser.get(address).status_code == 403
            assert browser.post(address, {"reason": "mine now"}).status_code == 403
    page = text(browser.get(change(strategy)))
    assert "fast" in page, "it sees the parameters"
    assert not inputs(page)
    assert browser.post(change(strategy), sent(strategy, parameter_fast=9)).status_code == 403
    assert (fresh(strategy).stage, fresh(strategy).parameters) == ("draft", {"fast": 5})


def test_a_page_of_another_site_cannot_promote(root: User, strategy: Strategy, run: Run) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(root)
    assert browser.post(move(strategy, "backtested")).status_code == 403
    assert fresh(strategy).stage == "draft"
