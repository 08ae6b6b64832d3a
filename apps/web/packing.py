"""Packs large answers of the API for clients that take gzip.

Only where a token came with the request: what no foreign page can make a browser send cannot be guessed at by watching
how long answers are. An answer whose tag is a version keeps it as it is, since `If-Match` compares tags byte by byte.
"""

from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

FROM_BYTES: Final = 1400  # what fits one packet is not worth it
VERSIONED: Final = ("/api/v1/orders/",)


class Packed(GZipMiddleware):
    """Packs good answers to GET under /api/v1 that are long enough."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Return the answer, packed if that is safe and worth it."""
        if not _is_safe(request) or response.status_code != 200 or len(getattr(response, "content", b"")) < FROM_BYTES:
            return response
        return super().process_response(request, response)


def _is_safe(request: HttpRequest) -> bool:
    if request.method != "GET" or "Authorization" not in request.headers:
        return False
    return request.path.startswith("/api/v1/") and not request.path.startswith(VERSIONED)
