"""The description of the API, and the TypeScript client made from it, as files to fetch.

Both are made once in a process: describing every address takes seconds, and anybody may ask.
"""

import json
from functools import cache
from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import etag, require_safe
from drf_spectacular.generators import SchemaGenerator

from apps.web.typescript import building

JSON = "application/vnd.oai.openapi+json"


@cache
def document() -> dict[str, Any]:
    """Return the description as OpenAPI 3."""
    generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]  # untyped library
    found: dict[str, Any] = generator.get_schema(request=None, public=True)
    return found


@cache
def as_json() -> bytes:
    """Return the description as text."""
    return json.dumps(document(), default=str, separators=(",", ":")).encode()


@cache
def as_typescript() -> bytes:
    """Return the client as text."""
    return building.text(document()).encode()


@gzip_page
@require_safe
@etag(lambda request: _tag(as_json()))
def schema(request: HttpRequest) -> HttpResponse:
    """Give the description."""
    return HttpResponse(as_json(), content_type=JSON)


@gzip_page
@require_safe
@etag(lambda request: _tag(as_typescript()))
def client(request: HttpRequest) -> HttpResponse:
    """Give the TypeScript client."""
    headers = {"Content-Disposition": 'inline; filename="tradingsite.ts"'}
    return HttpResponse(as_typescript(), content_type="text/plain; charset=utf-8", headers=headers)


def _tag(text: bytes) -> str:
    return f'"{sha256(text).hexdigest()[:32]}"'
