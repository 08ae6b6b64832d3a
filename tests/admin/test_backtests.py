"""Runs in the admin: asked for on a form, watched, read, compared; and what a viewer may not do."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME as CHECKBOX
from django.test import Client
from django.urls import reverse

from apps.access.models import User
from apps.backtests.admin import drawing
from apps.backtests.models import Run
from apps.backtests.outcomes import Outcome
from apps.backtests.requests import Request
from apps.backtests.services import runs
from apps.backtests.sources import Spec
from apps.market.models import Instrument
from apps.strategies.models import Strategy

pytestmark = pytest.mark.django_db
Staff = Callable[..., tuple[User, Client]]
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
VIEWS = ("backtests.view_run", "backtests.view_evidence", "strategies.view_strategy", "strategies.view_signal")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Request, Outcome]:
    """A backtest of 400 days, computed once."""
    path: Path = tmp_path_factory.mktemp("candles") / "walk.csv"
    close = (100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.02, 400)))).round(2)
    days = np.datetime64("2020-01-01") + np.arange(400)
    lines = [f"{day},{price},{price},{price},{price},1000000" for day, price in zip(days, close, strict=True)]
    path.write_text("Date,Open,High,Low,Close,Volume\n" + "\n".join(lines) + "\n")
    request = Request(plugin="sma_cross", parameters={"fast": 5}, data=Spec(files=(str(path),)))
    return request, runs.run_once(request)


@pytest.fixture
def strategy(btc: Instrument) -> Strategy:
    made = Strategy.objects.create(name="Trend", plugin="sma_cross", parameters={"fast": 5}, bar_seconds=86400)
    made.instruments.set([btc])
    return made


@pytest.fixture
def make_run(outcome: tuple[Request, Outcome], strategy: Strategy, root: User) -> Callable[[], Run]:
    return lambda: runs.record(*outcome, now=NOW, made_by=root, strategy=strategy)


@pytest.fixture
def asked(strategy: Strategy, btc: Instrument) -> dict[str, object]:
    """What a person sends with the form."""
    return {
        "strategy": strategy.pk,
        "instruments": [btc.pk],
        "since": "2026-01-01",
        "until": "2026-01-03",
        "bar_seconds": "86400",
        "cash": "50000",
        "sides": "both",
        "units": "fractional",
        "fee_rate": "0.2",
        "slippage_value": "0",
        "stop_loss": "2",
        "take_profit": "",
    }


def text(answer: object) -> str:
    return answer.content.decode()


def test_the_form_knows_the_strategy(desk: Client, strategy: Strategy) -> None:
    page = text(desk.get(f"{reverse('admin:backtests_run_add')}?strategy={strategy.pk}"))
    assert re.search(rf'<option value="{strategy.pk}"\s+selected', page)
    assert re.search(r'<option value="86400"\s+selected', page)
    assert re.search(r'name="instruments"[^>]*checked', page)


def test_a_strategy_with_odd_bars_keeps_them_on_the_form(desk: Client, strategy: Strategy) -> None:
    Strategy.objects.update(bar_seconds=7)
    page = text(desk.get(f"{reverse('admin:backtests_run_add')}?strategy={strategy.pk}"))
    assert re.search(r'<option value="7"\s+selected', page)


def test_the_form_starts_a_run(
    desk: Client,
    asked: dict[str, object],
    strategy: Strategy,
    django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[list[object]]],
) -> None:
    with django_capture_on_commit_callbacks() as called:
        answer = desk.post(reverse("admin:backtests_run_add"), asked)
    run = Run.objects.get()
    assert answer.url == reverse("admin:backtests_run_change", args=[run.pk])
    assert len(called) == 1, "a worker is called once the row is there"
    assert (run.state, run.strategy, run.plugin, run.parameters) == (
        "queued",
        strategy,
        "sma_cross",
        {"fast": 5, "slow": 20},
    )
    told = run.conventions
    assert (told["cash"], told["sides"], told["fee_rate"], told["stop_loss"]) == (50000.0, "both", 0.002, 0.02)
    assert (told["slippage_value"], told["take_profit"], told["units"]) == (0.0, None, "fractional")
    assert run.data["instruments"] == ["BTC-USD"]
    assert run.data["since"] == "2026-01-01T00:00:00+00:00"
    assert run.data["until"] == "2026-01-04T00:00:00+00:00", "the last day is part of it"


@pytest.mark.parametrize("until", ["", "2100-01-01"])
def test_the_bar_that_is_still_growing_is_no_part_of_a_run(desk: Client, asked: dict[str, object], until: str) -> None:
    before = datetime.now(UTC)
    desk.post(reverse("admin:backtests_run_add"), asked | {"until": until})
    assert before <= datetime.fromisoformat(Run.objects.get().data["until"]) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"instruments": []}, "required"),
        ({"until": "2025-01-01"}, "must not lie before"),
        ({"cash": "nan"}, "number"),
        ({"cash": "-5"}, "greater than 0"),
        ({"fee_rate": "100"}, "fee"),
        ({"stop_loss": "120"}, "stop"),
        ({"bar_seconds": "61"}, "not one of the available choices"),
        ({"strategy": "999"}, "not one of the available choices"),
    ],
)
def test_what_the_form_refuses(desk: Client, asked: dict[str, object], change: dict[str, object], words: str) -> None:
    answer = desk.post(reverse("admin:backtests_run_add"), asked | change)
    assert answer.status_code == 200
    problems = re.findall(r"errorlist|text-red|refused", text(answer))
    assert problems
    assert words in text(answer).lower()
    assert not Run.objects.exists()


def test_parameters_the_plugin_does_not_take_start_nothing(desk: Client, asked: dict[str, object]) -> None:
    Strategy.objects.update(parameters={"fast": 50, "slow": 20})
    answer = desk.post(reverse("admin:backtests_run_add"), asked)
    assert "fast" in text(answer)
    assert not Run.objects.exists()


def test_an_unfinished_run_asks_for_itself_again_and_a_finished_one_does_not(
    desk: Client, make_run: Callable[[], Run]
) -> None:
    run = make_run()
    address = reverse("admin:backtests_run_change", args=[run.pk])
    assert "hx-trigger" not in text(desk.get(address)).partition('id="run"')[2].partition(">")[0]
    Run.objects.update(state="running", progress=0.42, stage="signals")
    page = text(desk.get(address))
    assert "every 1s" in page.partition('id="run"')[2].partition(">")[0]
    assert 'aria-valuenow="42"' in page
    assert "Cancel" in page


def test_a_finished_run_shows_its_figures_its_critique_and_its_curve(desk: Client, make_run: Callable[[], Run]) -> None:
    run = make_run()
    page = text(desk.get(reverse("admin:backtests_run_change", args=[run.pk])))
    for remark in run.critique:
        assert remark["sentence"][:30].replace("'", "&#x27;") in page
    assert "<svg" in page
    assert "Return" in page
    assert reverse("admin:backtests_run_report", args=[run.pk]) in page


def test_a_failed_run_says_why(desk: Client, make_run: Callable[[], Run]) -> None:
    run = make_run()
    Run.objects.update(state="failed", error="<b>no candles</b>")
    page = text(desk.get(reverse("admin:backtests_run_change", args=[run.pk])))
    assert "&lt;b&gt;no candles" in page


def test_the_report_and_the_small_curve(desk: Client, make_run: Callable[[], Run]) -> None:
    run = make_run()
    report = desk.get(reverse("admin:backtests_run_report", args=[run.pk]))
    assert "All figures" in text(report)
    assert "Trades on the candles" in text(report), "its candles were read again"
    saved = desk.get(reverse("admin:backtests_run_report", args=[run.pk]) + "?download")
    assert "attachment" in saved["Content-Disposition"]
    curve = desk.get(reverse("admin:backtests_run_curve", args=[run.pk]))
    assert curve["Content-Type"] == "image/svg+xml"
    assert "immutable" in curve["Cache-Control"]
    Run.objects.update(state="running")
    for name in ("report", "curve"):
        assert desk.get(reverse(f"admin:backtests_run_{name}", args=[run.pk])).status_code == 404


def test_a_report_without_its_candles_is_still_a_report(
    desk: Client, make_run: Callable[[], Run], outcome: tuple[Request, Outcome]
) -> None:
    run = make_run()
    Run.objects.update(data={"files": ["/nowhere/at/all.csv"]})
    report = text(desk.get(reverse("admin:backtests_run_report", args=[run.pk])))
    assert "no longer those of the run" in report
    assert f"{outcome[1].result.final_equity:,.2f}" in report


def test_cancelling_a_run(desk: Client, make_run: Callable[[], Run]) -> None:
    run = make_run()
    Run.objects.update(state="queued")
    desk.post(reverse("admin:backtests_run_cancel", args=[run.pk]))
    assert Run.objects.get().state == "cancelled"


def test_runs_side_by_side(desk: Client, make_run: Callable[[], Run]) -> None:
    one, two = make_run(), make_run()
    Run.objects.filter(pk=two.pk).update(parameters={"fast": 7, "slow": 20})
    chosen = {"action": "compare", CHECKBOX: [one.pk, two.pk]}
    answer = desk.post(reverse("admin:backtests_run_changelist"), chosen)
    page = text(desk.get(answer.url))
    table = re.sub(r"<[^>]+>|\s+", " ", page.partition("How they differ")[2].partition("What came of them")[0])
    assert "parameter fast 5 7" in re.sub(r"\s+", " ", table)
    assert "slow" not in table, "only what differs"
    assert page.count('stroke="#') == 2


@pytest.mark.parametrize("count", [1, 5])
def test_too_few_or_too_many_are_not_compared(desk: Client, make_run: Callable[[], Run], count: int) -> None:
    keys = [make_run().pk for _ in range(count)]
    chosen = {"action": "compare", CHECKBOX: keys}
    answer = desk.post(reverse("admin:backtests_run_changelist"), chosen, follow=True)
    assert "Choose 2 to 4" in text(answer)
    for asked in (",".join(map(str, keys)), "", "x", "\uff11,2", "9" * 40):
        assert desk.get(f"{reverse('admin:backtests_run_compare')}?runs={asked}").status_code == 404


def test_the_list_does_not_read_curves(desk: Client, make_run: Callable[[], Run]) -> None:
    make_run()
    page = desk.get(reverse("admin:backtests_run_changelist"))
    row = page.context["cl"].result_list[0]
    assert {"trades", "equity"} <= row.get_deferred_fields()
    assert "curve.svg" in text(page)


def test_a_viewer_sees_runs_and_starts_none(
    staff: Staff, make_run: Callable[[], Run], asked: dict[str, object], strategy: Strategy
) -> None:
    run = make_run()
    _, browser = staff("viewer", *VIEWS)
    assert browser.get(reverse("admin:backtests_run_change", args=[run.pk])).status_code == 200
    assert browser.get(reverse("admin:backtests_run_report", args=[run.pk])).status_code == 200
    assert browser.get(reverse("admin:backtests_run_add")).status_code == 403
    assert browser.post(reverse("admin:backtests_run_add"), asked).status_code == 403
    Run.objects.update(state="running")
    assert "Cancel" not in text(browser.get(reverse("admin:backtests_run_change", args=[run.pk])))
    assert browser.post(reverse("admin:backtests_run_cancel", args=[run.pk])).status_code == 403
    assert browser.post(reverse("admin:backtests_run_change", args=[run.pk]), {"state": "done"}).status_code == 403
    assert [row.state for row in Run.objects.all()] == ["running"]


def test_who_may_view_nothing_sees_nothing(staff: Staff, make_run: Callable[[], Run], strategy: Strategy) -> None:
    run = make_run()
    _, browser = staff("clerk")
    for name in ("change", "report", "curve"):
        assert browser.get(reverse(f"admin:backtests_run_{name}", args=[run.pk])).status_code == 403
    assert browser.get(f"{reverse('admin:backtests_run_compare')}?runs=1,2").status_code == 403
    assert browser.get(reverse("admin:backtests_gate", args=[strategy.pk])).status_code == 403


def test_a_trader_may_run(staff: Staff, asked: dict[str, object]) -> None:
    user, browser = staff("trader", *VIEWS, "backtests.add_run")
    browser.post(reverse("admin:backtests_run_add"), asked)
    assert Run.objects.get().made_by == user


def test_no_peak_and_no_fall_is_lost_by_thinning() -> None:
    values = np.random.default_rng(1).normal(size=100_000)
    kept = drawing.thinned(values, 400)
    assert len(kept) <= 402
    assert {0, 99_999, int(values.argmin()), int(values.argmax())} <= set(kept.tolist())
    assert (drawing.thinned(values[:5], 400) == np.arange(5)).all()


@pytest.mark.parametrize("values", [[], [1.0], [5.0, 5.0, 5.0], [1.0, float("nan"), 2.0]])
def test_odd_curves_can_be_drawn(values: list[float]) -> None:
    picture = drawing.sparkline(np.array(values))
    assert picture.startswith("<svg")
    assert "nan" not in picture
