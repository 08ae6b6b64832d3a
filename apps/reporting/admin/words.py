"""The words for events: edited with the built-in ones at hand, and tried on a real past event."""

from typing import Any, NamedTuple

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from apps.access.desk import cells, pages
from apps.access.desk.fields import LineField
from apps.access.desk.rows import Page
from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.reporting import templating, wording
from apps.reporting.models import Wording
from apps.reporting.services import routing
from apps.trading import selectors

TEMPLATE = "admin/reporting/preview.html"


class WordingForm(forms.ModelForm):  # type: ignore[type-arg] # not generic while it runs
    """Words that can be used."""

    class Meta:
        model = Wording
        fields = ("kind", "severity", "title", "body")

    def clean(self) -> dict[str, Any]:
        """Refuse a template that could not be rendered, beside its field."""
        found = super().clean() or {}
        for name in ("title", "body"):
            try:
                templating.check(found.get(name, ""))
            except Refused as refused:
                self.add_error(name, str(refused))
        if found.get("kind") and found["kind"] not in wording.KINDS:
            self.add_error("kind", "This is no kind of event; docs/events.md lists them.")
        return found


class PreviewForm(forms.Form):
    """Words to be tried, and on which event; they are not stored."""

    title = LineField(max_length=200)
    body = forms.CharField(required=False, max_length=4000, widget=UnfoldAdminTextareaWidget)
    event = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=2**62,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Its number in the journal; empty: the newest of this kind.",
    )

    def clean(self) -> dict[str, Any]:
        """Refuse a template that could not be rendered."""
        found = super().clean() or {}
        for name in ("title", "body"):
            try:
                templating.check(found.get(name, ""))
            except Refused as refused:
                self.add_error(name, ValidationError(str(refused)))
        return found


class Shown(NamedTuple):
    """A preview."""

    event: Event
    said: routing.Said
    facts: str


@admin.register(Wording)
class WordingAdmin(Page):
    """Words that replace the built-in ones, per kind of event."""

    form = WordingForm
    list_display = ("kind", cells.text("title"), "severity")
    search_fields = ("kind", "title")
    actions_detail = ("preview",)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, str]:
        """Begin with the built-in words of the kind that the address names."""
        kind = request.GET.get("kind", "")
        words = wording.KINDS.get(kind)
        return {"kind": kind, "title": words.title, "body": words.body} if words else {}

    @action(description="Preview", icon="preview", url_path="preview")  # type: ignore[untyped-decorator]  # Unfold has no types
    def preview(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what words say of a real past event that the person may see."""
        row: Wording | None = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        form = PreviewForm(request.POST or None, initial={"title": row.title, "body": row.body})
        back = reverse("admin:reporting_wording_change", args=[row.pk])
        question = pages.Question(f"Preview {row.kind}", "Nothing is stored or sent.", "Show", back)
        shown = None
        if request.method == "POST" and form.is_valid():
            shown = self._shown(request, form, row)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": question.title,
            "question": question,
            "form": form,
            "shown": shown,
        }
        return TemplateResponse(request, TEMPLATE, context)

    def _shown(self, request: HttpRequest, form: forms.Form, row: Wording) -> Shown | None:
        given = form.cleaned_data
        rows = selectors.events(request.user).filter(kind=row.kind).order_by("-id")
        event = rows.filter(pk=given["event"]).first() if given["event"] else rows.first()
        if event is None:
            form.add_error("event", f"There is no such event of the kind {row.kind} yet.")
            return None
        tried = Wording(kind=row.kind, title=given["title"], body=given["body"], severity=row.severity)
        known = routing.Map.read()
        known.words[row.kind] = tried
        facts = routing.facts_of(event, known.accounts)
        lines = "\n".join(f"{name}: {value}" for name, value in sorted(facts.items()) if name != "facts")
        return Shown(event, routing.in_words(event, known), lines)
