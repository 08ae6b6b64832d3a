"""How a request body becomes values: strict JSON in UTF-8, small, shallow, no number read loosely."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import IO, Any, NoReturn

from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_INTEGER_DIGITS = 40

# A string without its end is taken to the end of the text, so that no text is looked at twice.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BodyTooLarge(APIException):
    """The request body is larger than this product reads."""

    status_code = 413
    default_detail = f"The body is larger than {MAX_BYTES // 1024} KB; send less at a time."
    default_code = "too-large"


class StrictJSONParser(BaseParser):
    """Reads JSON and refuses what other readers let pass: doubled keys, NaN, deep nesting, bad UTF-8."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the value of the body; numbers with a point or an exponent come back as Decimal."""
        request = (parser_context or {}).get("request")
        if request is not None:
            _refuse_other_encodings(request.META)
        raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BodyTooLarge
        return loads(raw)


def loads(raw: bytes) -> Any:
    """Return the value of a JSON text in UTF-8. Raises ParseError with one sentence."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    if _depth(text) > MAX_DEPTH:
        raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.")
    value = _decode(text)
    if _ESCAPED_SURROGATE.search(text) and _SURROGATE.search(_strings(value)):
        raise ParseError("The body contains half of a character pair (\\ud800 to \\udfff), which no text may.")
    return value


def _decode(text: str) -> Any:
    try:
        return json.loads(
            text,
            parse_float=Decimal,
            parse_int=_integer,
            parse_constant=_no_constant,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        raise ParseError(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None


def _refuse_other_encodings(meta: Mapping[str, Any]) -> None:
    packed = str(meta.get("HTTP_CONTENT_ENCODING", "identity")).strip().lower()
    if packed not in ("", "identity"):
        raise UnsupportedMediaType(packed, detail="Send the body as it is, without Content-Encoding.")


def _depth(text: str) -> int:
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        sign = match[0]
        if sign in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in "]}":
            depth -= 1
    return deepest


def _strings(value: Any) -> str:
    """Return all strings within a value, joined."""
    if isinstance(value, dict):
        return "".join(str(key) + _strings(item) for key, item in value.items())
    if isinstance(value, list):
        return "".join(_strings(item) for item in value)
    return value if isinstance(value, str) else ""


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise ParseError(f"The body holds a whole number of {len(digits)} digits; at most {MAX_INTEGER_DIGITS}.")
    return int(digits)


def _no_constant(word: str) -> NoReturn:
    raise ParseError(f"The body holds {word}, which is not a JSON number.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise ParseError(f"The body names {doubled[:60]!r} twice; name it once.")
    return found
