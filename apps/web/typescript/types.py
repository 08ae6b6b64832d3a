"""How the schemas of the description read in TypeScript."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]
_PLAIN: Final = {"integer": "number", "number": "number", "boolean": "boolean", "string": "string", "null": "null"}
_NAME: Final = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


def declared(schemas: Mapping[str, Schema]) -> Iterator[str]:
    """Yield one declaration for each named schema, in the order of their names."""
    for name in sorted(schemas):
        schema = schemas[name]
        if "properties" in schema:
            yield f"{comment(schema)}export interface {name} {{\n{_fields(schema)}}}\n"
        else:
            yield f"{comment(schema)}export type {name} = {written(schema)};\n"


def written(schema: Schema) -> str:
    """Return the type a schema describes."""
    found = _bare(schema)
    return f"{found} | null" if schema.get("nullable") and not found.endswith("null") else found


def comment(schema: Schema, indent: str = "") -> str:
    """Return what the schema says about itself, as a comment of one line."""
    text = " ".join(str(schema.get("description", "")).split()).replace("*/", "* /")
    return f"{indent}/** {text} */\n" if text else ""


def key(name: str) -> str:
    """Return the name of a field, quoted where it has to be."""
    return name if _NAME.fullmatch(name) else json.dumps(name)


def _bare(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    for word, sign in (("oneOf", " | "), ("anyOf", " | "), ("allOf", " & ")):
        if word in schema:
            return sign.join(dict.fromkeys(written(each) for each in schema[word]))
    return _by_kind(schema)


def _by_kind(schema: Schema) -> str:
    kind = schema.get("type")
    if kind == "array":
        inner = written(schema.get("items", {}))
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    if kind == "object" or "properties" in schema:
        return _object(schema)
    return _PLAIN.get(str(kind), "unknown")


def _object(schema: Schema) -> str:
    if "properties" in schema:
        return f"{{\n{_fields(schema)}}}"
    inside = schema.get("additionalProperties", True)
    return f"Record<string, {written(inside) if isinstance(inside, Mapping) else 'unknown'}>"


def _fields(schema: Schema) -> str:
    needed = set(schema.get("required", ()))
    lines = []
    for name, each in schema["properties"].items():
        sign = "" if name in needed else "?"
        fixed = "readonly " if each.get("readOnly") else ""
        lines.append(f"{comment(each, '  ')}  {fixed}{key(name)}{sign}: {written(each)};\n")
    return "".join(lines)
