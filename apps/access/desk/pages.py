"""Pages that ask before they act: a form, one call to a service, and its refusals as errors of the fields."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from apps.domain.errors import Problem, Refused, Unavailable

TEMPLATE = "admin/question.html"


class Done(NamedTuple):
    """What was done, in a sentence, and where to go from here."""

    message: str
    url: str


class Question(NamedTuple):
    """How a page asks: its title, what it explains, the word on its button, and where 'Back' leads."""

    title: str
    note: str
    button: str
    back: str
    dangerous: bool = False


def now() -> datetime:
    """Read the clock; the admin is a door."""
    return timezone.now()  # noqa: TID251 - services get the time from here


def actor(request: HttpRequest) -> str:
    """Name the person for the journal."""
    return request.user.get_username()


def ask(
    admin: "ModelAdmin[Any]",
    request: HttpRequest,
    form: forms.Form,
    question: Question,
    act: Callable[[dict[str, Any]], Done],
    **context: Any,
) -> HttpResponse:
    """Show the form, or act on a valid one; what a service refuses comes back beside the field it is about."""
    if request.method == "POST" and form.is_valid():
        done = attempt(form, act)
        if done is not None:
            messages.success(request, done.message)
            return HttpResponseRedirect(done.url)
    return show(admin, request, form, question, **context)


def show(
    admin: "ModelAdmin[Any]", request: HttpRequest, form: forms.Form, question: Question, **context: Any
) -> HttpResponse:
    """Show the form."""
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.model._meta,
        "title": question.title,
        "question": question,
        "form": form,
        **context,
    }
    return TemplateResponse(request, TEMPLATE, context)


def attempt(form: forms.Form, act: Callable[[dict[str, Any]], Done]) -> Done | None:
    """Call a service with what the form holds; None when it refused, with the reasons on the form."""
    try:
        return act(form.cleaned_data)
    except Refused as refused:
        show_problems(form, refused.problems)
    except Unavailable as error:
        form.add_error(None, str(error))
    return None


def show_problems(form: forms.Form, problems: Iterable[Problem]) -> None:
    """Put each problem beside its field, or above the form when the form has no such field."""
    for problem in problems:
        if problem.field in form.fields:
            form.add_error(problem.field, f"{problem.value} {problem.rule}; {problem.remedy}.")
        else:
            form.add_error(None, f"{problem.field}: {problem.value} {problem.rule}; {problem.remedy}.")
