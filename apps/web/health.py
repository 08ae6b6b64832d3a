"""Is this process alive, is another one, and is the whole site ready to trade: asked by whoever watches over it."""

from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.web import callers
from apps.web.checking import Check, checks, names, of_process

__all__ = ["Check", "checks", "live", "names", "ready"]


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Answer that this process answers; asks nobody else."""
    return _fresh(JsonResponse({"status": "ok"}))


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 when all checks are green, else 503; what was seen is shown to the machine itself and to staff.

    With `?process=worker:exits` only what concerns processes whose role begins so is asked.
    """
    role, now = request.GET.get("process", ""), timezone.now()
    found = of_process(role, now) if role else checks(now)
    good = all(check.ok for check in found)
    answer: dict[str, object] = {"status": "ok" if good else "failing"}
    if callers.is_trusted(request):
        answer["checks"] = {check.name: {"ok": check.ok, "seen": check.seen} for check in found}
    return _fresh(JsonResponse(answer, status=200 if good else 503))


def _fresh(response: JsonResponse) -> JsonResponse:
    response["Cache-Control"] = "no-store"
    response._has_been_logged = True  # type: ignore[attr-defined] # a red check is an answer, not an error of ours
    return response
