"""What is set right in the description after it was made: an answer holds all of its fields, always."""

from collections.abc import Iterator
from typing import Any


def answers_are_whole(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Mark every field of what only answers hold as required: nothing leaves one out."""
    schemas = result["components"]["schemas"]
    bodies = [verb.get("requestBody", {}) for verbs in result["paths"].values() for verb in verbs.values()]
    asked = set(_named(bodies))
    while more := {name for known in asked for name in _named(schemas.get(known, {}))} - asked:
        asked |= more
    for name, schema in schemas.items():
        if name not in asked and "properties" in schema and not name.endswith("ProblemOut"):
            schema["required"] = sorted(schema["properties"])
    return result


def _named(part: Any) -> Iterator[str]:
    """Yield the names of the schemas that a part of the description refers to."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rpartition("/")[2]
        for inner in part.values():
            yield from _named(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _named(inner)
