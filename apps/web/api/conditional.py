"""Answers that a client may keep: a tag of the content, and "not modified" for who has that content already."""

from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response, patch_vary_headers
from rest_framework.response import Response


class Kept:
    """Mixed into a view: its good answers to GET carry an ETag, and `keep` says how long they may be shown again."""

    keep = "private, no-cache"

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Tag a good answer once it is rendered."""
        final = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc] # a view has it
        if request.method in ("GET", "HEAD") and final.status_code == 200 and isinstance(final, Response):
            final["Cache-Control"] = self.keep
            patch_vary_headers(final, ("Authorization", "Cookie"))
            final.add_post_render_callback(lambda rendered: _answer(request, rendered))
        return final


def _answer(request: HttpRequest, rendered: HttpResponse) -> HttpResponse | None:
    tag = f'"{sha256(rendered.content).hexdigest()[:32]}"'
    rendered["ETag"] = tag
    answer: HttpResponse | None = get_conditional_response(request, etag=tag, response=rendered)
    return answer
