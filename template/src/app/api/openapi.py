"""The OpenAPI schema: adds the parts that FastAPI does not derive from the endpoints' types."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from app.api.events import SCHEMAS, media_type_of
from app.api.middleware.admin_pages import is_open
from app.api.problems import Problem

_CONTENT = {"application/problem+json": media_type_of(Problem)}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"content": _CONTENT, "description": HTTPStatus(status).phrase}
        for status in statuses
    }


class DocumentedAPI(FastAPI):
    """Adds to FastAPI's schema the form of problems, the data of events, and the `providers`.

    FastAPI documents its own 422 for each endpoint that documents none. That is replaced by a
    problem, because the service sends problems. An endpoint with errors of another form documents
    them as `4XX`.
    """

    def __init__(
        self,
        *,
        providers: Sequence[str] = (),
        needs_key: bool = False,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**options)
        self._providers = list(providers)
        self._needs_key = needs_key

    def openapi(self) -> dict[str, Any]:
        schema = super().openapi()
        for content in _contents(schema):
            if content.get("application/json", {}).get("schema") == _OF_FASTAPI:
                del content["application/json"]
                content.update(_PROBLEM)
        models = schema["components"]["schemas"]
        for content in _contents(schema):
            for media_type in content.values():
                _add(models, media_type.pop(SCHEMAS, {}))
        for unused in ("HTTPValidationError", "ValidationError"):
            models.pop(unused, None)
        if "ChatBody" in models:
            name, _null = models["ChatBody"]["properties"]["provider"]["anyOf"]
            name["enum"] = self._providers
        if self._needs_key:
            _require_keys(schema)
        return schema


def _require_keys(schema: dict[str, Any]) -> None:
    """Document the two ways to send a client key, and the answers to an invalid one."""
    schema["components"]["securitySchemes"] = {
        "Bearer": {"type": "http", "scheme": "bearer"},
        "APIKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, operations in schema["paths"].items():
        for operation in () if is_open(path) else operations.values():
            operation["security"] = [{"Bearer": []}, {"APIKey": []}]
            if "4XX" not in operation["responses"]:
                for status in (401, 403):
                    operation["responses"].setdefault(str(status), _problem_of(status))


def _problem_of(status: int) -> dict[str, Any]:
    return {"description": HTTPStatus(status).phrase, "content": _PROBLEM}


# For responses that are added to the finished document, in which `/readyz` has brought the schema.
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_OF_FASTAPI = {"$ref": "#/components/schemas/HTTPValidationError"}


def _contents(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The media types of each response."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                yield response.get("content", {})


def _add(models: dict[str, Any], found: dict[str, Any]) -> None:
    """Add schemas of events. Raises `ValueError` if another schema has the same name."""
    for name, model in found.items():
        if models.setdefault(name, model) != model:
            raise ValueError(
                f"two schemas have the name {name}: rename the class of an event's data"
            )
