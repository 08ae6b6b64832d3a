"""The TypeScript client: made from the description, whole, and strict enough to find mistakes before they are sent."""

import re
import shutil
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client

from apps.web.api import published
from apps.web.typescript import building, methods, types
from tests.web.typescript import checking


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the client and programs that use it."""
    (tmp_path / "tradingsite.ts").write_bytes(published.as_typescript())
    for name in ("journey.ts", "misuse.ts"):
        shutil.copy(checking.HERE / name, tmp_path)
    return tmp_path


def test_the_client_and_a_program_that_uses_it_compile(folder: Path) -> None:
    assert checking.compile_files(folder, "tradingsite.ts", "journey.ts") == []


def test_mistakes_are_found(folder: Path) -> None:
    assert checking.compile_files(folder, "tradingsite.ts", "misuse.ts") == []
    careless = re.sub(r"// @ts-expect-error.*\n", "", (folder / "misuse.ts").read_text())
    (folder / "misuse.ts").write_text(careless)
    found = checking.compile_files(folder, "tradingsite.ts", "misuse.ts")
    lines = {re.match(r"misuse\.ts\((\d+),", line)[1] for line in found if line.startswith("misuse.ts(")}  # type: ignore[index]
    assert len(lines) == 9, found


def test_there_is_a_method_for_each_operation_and_no_two_are_called_the_same() -> None:
    names = [operation.name for operation in methods.operations(published.document())]
    assert len(names) == len(set(names)) > 60
    text = published.as_typescript().decode()
    assert all(f"\n  {name}(" in text for name in names)


def test_the_site_and_the_command_give_the_same_file(db: None, tmp_path: Path) -> None:
    answer = Client().get("/api/client.ts")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    call_command("typescript", "--out", str(tmp_path / "client.ts"))
    assert (tmp_path / "client.ts").read_bytes() == answer.content
    again = Client().get("/api/client.ts", headers={"if-none-match": answer.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer"}, "number"),
        ({"type": "string", "nullable": True}, "string | null"),
        ({"type": "array", "items": {"type": "string", "nullable": True}}, "(string | null)[]"),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({"$ref": "#/components/schemas/X"}, "X"),
        ({"allOf": [{"$ref": "#/components/schemas/X"}], "nullable": True}, "X | null"),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "string | number"),
        ({"oneOf": [{"type": "string"}, {"enum": [None]}], "nullable": True}, "string | null"),
        ({"type": "object"}, "Record<string, unknown>"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "Record<string, number>"),
        ({}, "unknown"),
    ],
)
def test_schemas_read_as_types(schema: types.Schema, expected: str) -> None:
    assert types.written(schema) == expected


def test_a_comment_cannot_end_early_and_odd_names_are_quoted() -> None:
    document = {
        "info": {"title": "T", "version": "1"},
        "paths": {},
        "components": {
            "schemas": {"X": {"description": "a */ b", "properties": {"a-b": {"type": "string"}}, "required": []}}
        },
    }
    text = building.text(document)
    assert "/** a * / b */" in text
    assert '"a-b"?: string;' in text
