"""The switch of a strategy: a pause and the way back to where it was, each with a reason."""

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_http_methods

from apps.access.desk import pages
from apps.domain.backtests.gate import FOLLOWED, Stage
from apps.strategies.models import Strategy
from apps.strategies.services import stages
from apps.web.desk import doors
from apps.web.desk.strategies import CHANGE


class SwitchForm(forms.Form):
    """Why."""

    reason = forms.CharField(max_length=200, help_text="One line for the journal.")


@doors.page
@require_http_methods(["GET", "POST"])
def switch(request: HttpRequest, strategy_id: int) -> HttpResponse:
    """Ask, then pause a strategy that is followed, or let a paused one go on where it was."""
    doors.require(request, CHANGE)
    strategy = Strategy.objects.filter(pk=strategy_id).first()
    if strategy is None:
        raise Http404
    wanted = _wanted(strategy)
    form = SwitchForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and wanted is not None and form.is_valid():
        # The word comes with the page: what somebody else switched meanwhile is not switched back.
        if request.POST.get("wanted") != wanted:
            form.add_error(None, "Somebody else has switched it meanwhile; look at it again.")
        else:
            done = pages.attempt(form, lambda given: _move(request, strategy, wanted, given["reason"]))
            if done is not None:
                messages.success(request, done.message)
                return HttpResponseRedirect(done.url)
    context = {"title": f"Strategy {strategy}", "strategy": strategy, "wanted": wanted, "form": form}
    return doors.ask(request, "switch", context)


def _move(request: HttpRequest, strategy: Strategy, wanted: Stage, reason: str) -> pages.Done:
    stages.move(strategy, wanted, actor=pages.actor(request), reason=reason)
    word = "is paused" if wanted is Stage.PAUSED else f"goes on, on {wanted}"
    return pages.Done(f"{strategy} {word}.", doors.back(request, "desk:strategies"))


def _wanted(strategy: Strategy) -> Stage | None:
    """Return where the switch leads; None where there is nothing to switch."""
    if strategy.stage in FOLLOWED:
        return Stage.PAUSED
    if strategy.stage == Stage.PAUSED and strategy.paused_from:
        return Stage(strategy.paused_from)
    return None
