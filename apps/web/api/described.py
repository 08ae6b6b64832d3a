"""How the API is described: bearer tokens, problems on every operation, and who may call."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from apps.web.api.answers import LeavingProblemOut, ProblemOut
from apps.web.problems import MEDIA_TYPE

_WORDS = {
    400: "A field is wrong, unknown or missing; `errors` names each with its value, the rule and the remedy.",
    401: "No token, or one that is unknown, expired or revoked.",
    403: "The token's scope is not enough.",
    404: "There is no such thing, or it is not yours.",
    406: "Only JSON can be given.",
    409: "The position is closed, or somebody asked before; or the order has ended.",
    412: "The row is not the one you looked at any more (`If-Match`).",
    413: "The body is larger than 256 KB.",
    415: "The body is not application/json.",
    422: "The idempotency key was used before with another body.",
    429: "More requests than allowed in a minute (`Retry-After` says when to come again), or as much under way as one "
    "person may have.",
    503: "There is no fresh price, or the database does not answer; try again after `Retry-After` seconds.",
}
_WRONG_SIDE = OpenApiExample(
    "A stop on the wrong side",
    value={
        "type": "urn:tradingsite:problem:invalid",
        "title": "Bad Request",
        "status": 400,
        "detail": "stop_loss must be below 61800 for a long position",
        "errors": [
            {
                "field": "stop_loss",
                "value": "70000",
                "rule": "must be below 61800 for a long position",
                "remedy": "move it below that price",
            }
        ],
    },
    media_type=MEDIA_TYPE,
    response_only=True,
    status_codes=["400"],
)
READING = (400, 401, 403, 406, 429, 503)
WRITING = (*READING, 413, 415)


def answers(good: dict[int, Any], *problems: int) -> dict[Any, Any]:
    """Return the answers of an operation: the good ones, and problem details for the statuses named."""
    # All keys are pairs: the describing library takes the smallest key for the answer that counts.
    pairs = {(status, "application/json"): answer for status, answer in good.items()}
    return {**pairs, **{(status, MEDIA_TYPE): _problem(status) for status in sorted(set(problems))}}


def _problem(status: int) -> OpenApiResponse:
    return OpenApiResponse(
        LeavingProblemOut if status == 409 else ProblemOut,
        description=_WORDS[status],
        examples=[_WRONG_SIDE] if status == 400 else [],
    )


class BearerToken(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped library
    """Describes the Authorization header."""

    target_class = "apps.access.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the scheme as OpenAPI says it."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token made by `manage.py apitoken create --user NAME --scope trade`.",
        }
