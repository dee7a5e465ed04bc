"""The OpenAPI schema: whole, and true about errors."""

import json
import re
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture
async def schema(http: httpx.AsyncClient) -> dict[str, Any]:
    return (await http.get("/openapi.json")).json()  # type: ignore[no-any-return]


async def test_every_reference_of_the_schema_resolves(schema: dict[str, Any]) -> None:
    names = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(schema)))

    assert "Problem" in names
    assert names <= schema["components"]["schemas"].keys()


async def test_the_schema_documents_the_responses_to_invalid_requests(
    schema: dict[str, Any],
) -> None:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            content = operation["responses"]["422"]["content"]
            assert list(content) == ["application/problem+json"], (method, path)
    assert "HTTPValidationError" not in schema["components"]["schemas"]


@pytest.mark.parametrize(("noun", "most"), [("schedules", 12_000), ("optimizers", 20_000)])
async def test_the_catalogue_refers_to_schedules_instead_of_repeating_them(
    http: httpx.AsyncClient, noun: str, most: int
) -> None:
    answer = await http.get(f"/v1/{noun}")

    entries = answer.json()["data"]
    assert len(answer.content) < most * len(entries)
    for entry in entries:
        schema = entry["json_schema"]
        text = json.dumps(schema)
        assert set(re.findall(r"#/\$defs/(\w+)", text)) == set(schema.get("$defs", {}))
        assert {field["name"] for field in entry["fields"]} == set(schema["properties"])
