"""The OpenAPI schema: FastAPI's own, plus the schema of error responses."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from optserve.contract.answers.problems import Problem

REF = "#/components/schemas/{model}"


def install(app: FastAPI) -> None:
    """Add the schema of error responses to the OpenAPI schema of *app*."""
    derived = app.openapi

    def openapi() -> dict[str, Any]:
        # FastAPI makes this dict once and returns it every time, so additions to it stay.
        schemas = derived().setdefault("components", {}).setdefault("schemas", {})
        # Exception handlers build the error responses, and FastAPI does not inspect handlers.
        if "Problem" not in schemas:
            problem = Problem.model_json_schema(mode="serialization", ref_template=REF)
            schemas |= problem.pop("$defs", {})
            schemas["Problem"] = problem
        return derived()

    app.openapi = openapi  # type: ignore[method-assign]
