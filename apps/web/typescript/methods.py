"""How the operations of the description become methods of the client."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from apps.web.typescript import types

METHODS: Final = ("get", "post", "put", "patch", "delete")
_GAP: Final = re.compile(r"{(\w+)}")


class Operation(NamedTuple):
    """One operation of the description, and where it stands."""

    path: str
    verb: str
    about: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the name of the method: `positionsAmendLevels` for `positions_amend_levels`."""
        first, *others = str(self.about["operationId"]).split("_")
        return first + "".join(word.capitalize() for word in others)

    def parameters(self, place: str) -> list[Mapping[str, Any]]:
        """Return the parameters that stand in one place: path, query."""
        return [each for each in self.about.get("parameters", ()) if each["in"] == place]


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield all operations under /api/v1, by path and method."""
    for path, verbs in sorted(document["paths"].items()):
        for verb in METHODS:
            if verb in verbs and path.startswith("/api/v1"):
                yield Operation(path, verb, verbs[verb])


def written(operation: Operation) -> str:
    """Return the method."""
    about = {"description": f"{operation.about.get('summary', '')}. {operation.about.get('description', '')}"}
    arguments = [*_path_arguments(operation), *_body_argument(operation), *_query_argument(operation)]
    address = _GAP.sub(r"${part(\1)}", operation.path)
    query = "query" if operation.parameters("query") else "{}"
    body = "body" if _body_argument(operation) else "undefined"
    return (
        f"{types.comment(about, '  ')}"
        f"  {operation.name}({', '.join([*arguments, 'call: Call = {}'])}): Promise<{_answer(operation)}> {{\n"
        f'    return this.send("{operation.verb.upper()}", `{address}`, {query}, {body}, call);\n'
        "  }\n"
    )


def _path_arguments(operation: Operation) -> list[str]:
    return [f"{each['name']}: {types.written(each['schema'])}" for each in operation.parameters("path")]


def _body_argument(operation: Operation) -> list[str]:
    found = operation.about.get("requestBody")
    if found is None:
        return []
    kind = types.written(found["content"]["application/json"]["schema"])
    return [f"body: {kind}" if found.get("required") else f"body: {kind} = {{}}"]


def _query_argument(operation: Operation) -> list[str]:
    asked = operation.parameters("query")
    if not asked:
        return []
    fields = [
        f"{types.key(each['name'])}{'' if each.get('required') else '?'}: {types.written(each['schema'])}"
        for each in asked
    ]
    default = "" if any(each.get("required") for each in asked) else " = {}"
    return [f"query: {{ {'; '.join(fields)} }}{default}"]


def _answer(operation: Operation) -> str:
    good = [answer for status, answer in sorted(operation.about["responses"].items()) if status.startswith("2")]
    return " | ".join(dict.fromkeys(_kind(answer.get("content", {})) for answer in good))


def _kind(content: Mapping[str, Any]) -> str:
    if "application/json" in content:
        return types.written(content["application/json"]["schema"])
    return "Blob" if content else "void"
