"""The gate in the admin: where a strategy stands, what its next stage needs, and the pages that move it."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from apps.access.desk import cells, pages
from apps.access.desk.fields import LineField
from apps.access.desk.rows import ReadOnlyPage
from apps.backtests.models import Evidence
from apps.backtests.services import gate
from apps.backtests.services.gate import Standing
from apps.domain.backtests.gate import LADDER, MOVES, Need, Stage, is_promotion
from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.strategies import selectors as strategies
from apps.strategies.admin import STAGES
from apps.strategies.models import Strategy

EVENTS: Final = 50
NEEDS: Final = {
    Need.BACKTEST: "A finished backtest of the present code and parameters without a red remark.",
    Need.OUT_OF_SAMPLE: "A walk-forward, or a backtest of days that no search has seen, without a red remark.",
    Need.PAPER: "Days of paper trading within tolerance of the backtest of the same days, as `compare` finds.",
}
VERBS: Final = {
    Stage.PAUSED: "Pause",
    Stage.RETIRED: "Retire",
    Stage.DRAFT: "Back to draft",
    Stage.PAPER: "Back to paper",
    Stage.LIVE: "Back to live",
}


class ReasonForm(forms.Form):
    """Why, for the journal."""

    reason = LineField(max_length=200, required=False, help_text="For the journal.")


class OverrideForm(forms.Form):
    """Why the gate is gone round: it has to be said."""

    reason = LineField(max_length=200, min_length=3, help_text="Why this goes without evidence; kept in the journal.")


class Move(NamedTuple):
    """A way out of the present stage: where it leads, the word on its button, and whether it goes round the gate."""

    stage: Stage
    word: str
    tone: str


@admin.register(Evidence)
class EvidenceAdmin(ReadOnlyPage):
    """What promotions rested on, and how paper trading compared."""

    list_display = (
        "id",
        cells.linked("strategy"),
        cells.word("need", tones={}),
        cells.linked("run"),
        cells.instant("since"),
        cells.instant("until"),
        "made_by",
        cells.instant("made_at", "made"),
    )
    shown = (*list_display, cells.facts("facts"), "version")
    list_filter = ("need",)
    search_fields = ("strategy__name",)
    list_select_related = ("strategy", "run")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave out the runs' columns of megabytes."""
        return super().get_queryset(request).defer("run__trades", "run__equity")

    def get_urls(self) -> list[URLPattern]:
        """Add the gate of a strategy and the pages that ask before they move it."""
        wrap = self.admin_site.admin_view
        own = [
            path("gate/<int:strategy_id>/", wrap(self.gate), name="backtests_gate"),
            path("gate/<int:strategy_id>/<str:stage>/", wrap(self.move), name="backtests_gate_move"),
        ]
        return [*own, *super().get_urls()]

    def gate(self, request: HttpRequest, strategy_id: int) -> HttpResponse:
        """Show where a strategy stands and what its next stage needs."""
        strategy = _strategy(request, strategy_id)
        standing, trouble = _standing(strategy)
        may_move = request.user.has_perm("strategies.change_strategy")
        context = {
            **self.admin_site.each_context(request),
            "opts": Strategy._meta,
            "original": strategy,
            "title": f"{strategy}: stage",
            "strategy": strategy,
            "tone": STAGES.get(strategy.stage, "plain"),
            "ladder": [(stage.value, LADDER.index(stage) <= _reached(strategy)) for stage in LADDER],
            "standing": standing,
            "trouble": trouble,
            "need": NEEDS[standing.need] if standing and standing.need else "",
            "moves": _moves(strategy) if may_move else [],
            "may_move": may_move,
            "evidence": Evidence.objects.filter(strategy=strategy).select_related("run").defer("run__trades")[:EVENTS],
            "events": Event.objects.filter(subject=strategies.subject(strategy.pk)).order_by("-id")[:EVENTS],
        }
        return TemplateResponse(request, "admin/backtests/gate.html", context)

    def move(self, request: HttpRequest, strategy_id: int, stage: str) -> HttpResponse:
        """Ask before a strategy is moved; without evidence a promotion asks for the reason."""
        strategy = _strategy(request, strategy_id)
        if stage not in list(Stage):
            raise Http404
        if not request.user.has_perm("strategies.change_strategy"):
            raise PermissionDenied
        wanted = Stage(stage)
        if not is_promotion(Stage(strategy.stage), wanted):
            return self._shift(request, strategy, wanted)
        standing, _ = _standing(strategy)
        if standing is not None and standing.source is not None and "override" not in request.GET:
            return self._promote(request, strategy, wanted, standing)
        return self._override(request, strategy, wanted)

    def _promote(self, request: HttpRequest, strategy: Strategy, wanted: Stage, standing: Standing) -> HttpResponse:
        note = f"It rests on {standing.source}. {_consequence(wanted)}"
        question = pages.Question(f"Promote {strategy} to {wanted}", note, f"Promote to {wanted}", _gate(strategy))

        def act(given: dict[str, Any]) -> None:
            gate.promote(strategy.pk, wanted, now=pages.now(), actor=pages.actor(request))

        return self._ask(request, forms.Form(_sent(request)), question, act, strategy, wanted)

    def _override(self, request: HttpRequest, strategy: Strategy, wanted: Stage) -> HttpResponse:
        note = f"The evidence for it is not there, or not looked at. {_consequence(wanted)}"
        title = f"Move {strategy} to {wanted} without evidence"
        question = pages.Question(title, note, "Override the gate", _gate(strategy), dangerous=True)

        def act(given: dict[str, Any]) -> None:
            gate.override(strategy.pk, wanted, reason=given["reason"], actor=pages.actor(request))

        return self._ask(request, OverrideForm(_sent(request)), question, act, strategy, wanted)

    def _shift(self, request: HttpRequest, strategy: Strategy, wanted: Stage) -> HttpResponse:
        word = VERBS.get(wanted, f"Move to {wanted}")
        question = pages.Question(f"{word}: {strategy}", _consequence(wanted), word, _gate(strategy))

        def act(given: dict[str, Any]) -> None:
            gate.move(strategy.pk, wanted, actor=pages.actor(request), reason=given["reason"])

        return self._ask(request, ReasonForm(_sent(request)), question, act, strategy, wanted)

    def _ask(
        self,
        request: HttpRequest,
        form: forms.Form,
        question: pages.Question,
        act: Callable[[dict[str, Any]], None],
        strategy: Strategy,
        wanted: Stage,
    ) -> HttpResponse:
        def done(given: dict[str, Any]) -> pages.Done:
            act(given)
            return pages.Done(f"{strategy} is {wanted} now.", _gate(strategy))

        return pages.ask(self, request, form, question, done)


def _sent(request: HttpRequest) -> Any:
    return request.POST if request.method == "POST" else None


def _strategy(request: HttpRequest, strategy_id: int) -> Strategy:
    if not (request.user.has_perm("strategies.view_strategy") or request.user.has_perm("strategies.change_strategy")):
        raise PermissionDenied
    found = Strategy.objects.filter(pk=strategy_id).first()
    if found is None:
        raise Http404
    return found


def _standing(strategy: Strategy) -> tuple[Standing | None, str]:
    try:
        return gate.standing(strategy), ""
    except Refused as refused:
        return None, str(refused)


def _moves(strategy: Strategy) -> list[Move]:
    """Return the moves that need no evidence; of the ways out of a pause only the one back."""
    now = Stage(strategy.stage)
    found = []
    for stage in Stage:
        back = now == Stage.PAUSED and stage in (Stage.PAPER, Stage.LIVE) and stage != strategy.paused_from
        if stage in MOVES[now] and not is_promotion(now, stage) and not back:
            found.append(Move(stage, VERBS[stage], "danger" if stage == Stage.RETIRED else ""))
    return found


def _reached(strategy: Strategy) -> int:
    stage = Stage(strategy.paused_from or strategy.stage)
    return LADDER.index(stage) if stage in LADDER else -1


def _consequence(wanted: Stage) -> str:
    return {
        Stage.DRAFT: "It gives no signals, and has to be proven anew.",
        Stage.BACKTESTED: "It gives no signals yet.",
        Stage.PAPER: "Once it is enabled it gives signals, and the accounts that follow it trade on paper.",
        Stage.LIVE: "It gives signals as on paper. Every account of this site is a paper account yet.",
        Stage.PAUSED: "It gives no signals until it goes back to where it was. Open positions keep their ways out.",
        Stage.RETIRED: "It gives no signals any more. Open positions keep their ways out.",
    }[wanted]


def _gate(strategy: Strategy) -> str:
    return reverse("admin:backtests_gate", args=[strategy.pk])
