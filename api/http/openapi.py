"""The OpenAPI schema: FastAPI's, with the schema of errors."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from optserve.contract.answers.problems import Problem

REF = "#/components/schemas/{model}"


def install(app: FastAPI) -> None:
    """Add the schema of errors to that of *app*."""
    derived = app.openapi

    def openapi() -> dict[str, Any]:
        # FastAPI makes this dict once and returns it every time, so what is added to it stays.
        schemas = derived().setdefault("components", {}).setdefault("schemas", {})
        # Responses are built by exception handlers, which FastAPI does not look at.
        if "Problem" not in schemas:
            problem = Problem.model_json_schema(mode="serialization", ref_template=REF)
            schemas |= problem.pop("$defs", {})
            schemas["Problem"] = problem
        return derived()

    app.openapi = openapi  # type: ignore[method-assign]
