"""The page of the live configuration: its versions, and a form that makes the next one."""

from typing import Any, Final

from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from apps.access.desk import cells, pages
from apps.access.desk.fields import LineField
from apps.access.desk.rows import ReadOnlyPage
from apps.domain.errors import Refused
from apps.ops.configuration import services, standing
from apps.ops.configuration.models import ConfigurationVersion
from apps.ops.configuration.options import BY_NAME, OPTIONS, Option

UNSET: Final = "as environment or default say"


class ChangeForm(forms.ModelForm):  # type: ignore[type-arg]  # Django takes no parameter when it runs
    """One field per option; an empty one is not set here."""

    class Meta:
        model = ConfigurationVersion
        fields = ("reason",)

    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row = services.newest()
        self.chosen = dict(row.chosen) if row else {}
        self.fields["seen"].initial = row.version if row else 0
        for option in OPTIONS:
            self.fields[option.name].initial = self.chosen.get(option.name, "")

    def clean(self) -> dict[str, Any]:
        """Judge everything at once; each problem stands at its field."""
        given = super().clean() or self.cleaned_data
        try:
            services.judge({name: text for name, text in self.asked().items() if text is not None}, "judged apart")
        except Refused as refusal:
            for problem in refusal.problems:
                self.add_error(
                    problem.field if problem.field in self.fields else None, f"{problem.rule}; {problem.remedy}"
                )
        row = services.newest()
        if given.get("seen") != (row.version if row else 0):
            self.add_error(None, "Somebody changed it meanwhile: look at the present values, then change them again.")
        if not self.errors and not self.asked():
            self.add_error(None, "Nothing would change.")
        return given

    def asked(self) -> dict[str, str | None]:
        """Return what differs from the version in force: a text to set, None to unset."""
        given = {name: str(self.cleaned_data.get(name) or "").strip() for name in BY_NAME}
        return {name: text or None for name, text in given.items() if text != self.chosen.get(name, "")}


def _field(option: Option) -> forms.Field:
    shared: dict[str, Any] = {"required": False, "label": option.name}
    if option.name in settings.PINNED:
        shared |= {"disabled": True, "help_text": f"{option.meaning} Set by the {settings.PINNED[option.name]}."}
    else:
        now = option.write(option.now())
        shared["help_text"] = f"{option.meaning} {option.allowed}. In force: {now or 'nothing'}."
    if option.choices:
        choices = [("", UNSET), *((word, word) for word in option.choices)]
        return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget, **shared)
    return forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget(attrs={"placeholder": UNSET}), **shared)


@cells.computed("changed")
def changed(row: ConfigurationVersion) -> SafeString:
    """Say what a version changed."""
    rows = ((name, old or "unset", new or "unset") for name, (old, new) in row.changes.items())
    return format_html_join(", ", "{} {} → {}", rows)


@cells.computed("confirmed")
def confirmed(row: ConfigurationVersion) -> SafeString:
    """Say of the version in force who does not run it yet."""
    found = standing.look(pages.now())
    if row.version != found.version:
        return cells.tag("replaced", "plain")
    if found.behind:
        names = ", ".join(each.name for each in found.behind)
        return format_html("{} {}", cells.tag(f"{len(found.behind)} behind", "bad"), names)
    return cells.tag(f"{len(found.processes)} processes", "good")


class ConfigurationAdmin(ReadOnlyPage):
    """Versions, newest first; adding one is changing the configuration."""

    list_display = ("version", cells.instant("at"), "actor", changed, "reason", confirmed)
    shown = (*list_display, cells.facts("chosen"))
    search_fields = ("actor", "reason")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A version is added by whoever may."""
        return bool(request.user.has_perm("ops.add_configurationversion"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new version is entered, an old one is shown."""
        return super().get_readonly_fields(request, obj) if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new version has a field per option."""
        return super().get_fields(request, obj) if obj else ("seen", "reason", *BY_NAME)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Make the form as the options are at this moment."""
        if obj is not None:
            return super().get_form(request, obj, change, **kwargs)
        made = {option.name: _field(option) for option in OPTIONS}
        reason = LineField(max_length=services.REASON_LENGTH, help_text="Why; one line for the history.")
        return type("ConfigurationForm", (ChangeForm,), {**made, "reason": reason})

    def save_model(self, request: HttpRequest, obj: ConfigurationVersion, form: Any, change: bool) -> None:
        """Store the version. A refusal here is a race that somebody else won; it is shown by the form page."""
        stored = services.change(
            form.asked(),
            actor=pages.actor(request),
            reason=form.cleaned_data["reason"],
            now=pages.now(),
        )
        obj.version, obj.at, obj.actor = stored.version, stored.at, stored.actor
        obj.chosen, obj.changes = stored.chosen, stored.changes
