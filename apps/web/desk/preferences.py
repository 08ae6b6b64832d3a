"""What a person chooses of the desk's looks: the time zone and the theme, kept in two cookies of their browser."""

from datetime import timedelta
from typing import Final
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.web.desk import doors

YEAR: Final = timedelta(days=365)


def zones() -> list[tuple[str, str]]:
    """Return the time zones of places, UTC first."""
    places = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/")))
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in places)]


class PreferencesForm(forms.Form):
    """The time zone and the theme."""

    zone = forms.ChoiceField(choices=zones, label="Time zone", help_text="Every time on the desk is shown in it.")
    theme = forms.ChoiceField(
        choices=[("auto", "As this device has it"), ("light", "Light"), ("dark", "Dark")], label="Look"
    )


@doors.page
@require_http_methods(["GET", "POST"])
def choose(request: HttpRequest) -> HttpResponse:
    """Show the choices, or keep them."""
    initial = {"zone": str(doors.zone_of(request)), "theme": doors.theme_of(request)}
    form = PreferencesForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        answer = HttpResponseRedirect(reverse("desk:preferences"))
        for name, value in ((doors.ZONE, form.cleaned_data["zone"]), (doors.THEME, form.cleaned_data["theme"])):
            answer.set_cookie(name, value, max_age=YEAR, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE)
        messages.success(request, "Kept in this browser.")
        return answer
    return doors.show(request, "preferences", {"title": "Preferences", "form": form})
