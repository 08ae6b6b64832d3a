"""The description of the API: valid, complete, and readable without any other host."""

import re
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from tests.web.test_access import NEEDS, OPEN


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


def test_it_is_valid_and_raises_no_warning(tmp_path: Any) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))


def test_every_address_and_method_is_described(schema: dict[str, Any]) -> None:
    validate_schema(schema)
    described = {
        (path, verb) for path, verbs in schema["paths"].items() for verb in verbs if path.startswith("/api/v1")
    }
    expected = {
        ("/" + re.sub(r"<\w+:(\w+)>", r"{\1}", route), verb.lower())
        for route, verbs in {**NEEDS, **OPEN}.items()
        for verb in verbs
    }
    assert described == expected


def test_every_operation_takes_a_bearer_token_and_answers_problems(schema: dict[str, Any]) -> None:
    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, verbs in schema["paths"].items():
        for operation in verbs.values():
            if not path.startswith("/api/v1"):
                continue
            assert path.removeprefix("/") in OPEN or {"token": []} in operation["security"], path
            for status in ("400", "401", "403", "503", *(["415", "413"] if "requestBody" in operation else [])):
                content = operation["responses"][status]["content"]
                assert list(content) == ["application/problem+json"], (path, status)


def test_opening_is_described_with_examples_and_strings_for_decimals(schema: dict[str, Any]) -> None:
    operation = schema["paths"]["/api/v1/positions"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    assert len(content["examples"]) == 2
    asked = schema["components"]["schemas"]["PositionIn"]
    assert set(asked["required"]) == {"instrument", "side", "quantity"}
    assert asked["properties"]["quantity"]["type"] == "string"
    assert {"200", "201", "400", "422"} <= set(operation["responses"])
    answered = schema["components"]["schemas"]["PositionOut"]["properties"]
    assert {"entry_price", "exit_reason", "exit_price", "closed_at", "tick_to_close_ms", "legs", "exits"} <= set(
        answered
    )
    problem = schema["components"]["schemas"]["ProblemErrorOut"]["properties"]
    assert set(problem) == {"field", "value", "rule", "remedy"}


def test_a_list_is_described_as_a_page(schema: dict[str, Any]) -> None:
    operation = schema["paths"]["/api/v1/positions"]["get"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert names == {"limit", "offset", "status", "instrument", "side", "account"}
    ref = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(schema["components"]["schemas"][ref]["properties"]) == {"total", "limit", "offset", "results"}


def test_the_docs_page_needs_no_other_host_and_no_inline_script(db: None) -> None:
    client = Client()
    page = client.get("/api/docs").content.decode()
    script = client.get("/api/docs?script=").content.decode()
    for text in (page, script):
        assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text)
    assert "/api/schema" in script
    assert '"validatorUrl": null' in script
    assert not re.findall(r"<script(?![^>]*\bsrc=)", page)
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        answer = client.get(address)
        assert answer.status_code == 200, address
        answer.close()


def test_the_schema_is_served_to_anybody(db: None) -> None:
    answer = Client().get("/api/schema", headers={"accept": "application/vnd.oai.openapi+json"})
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.")


def test_the_front_page_leads_to_the_desk() -> None:
    answer = Client().get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/desk/")
