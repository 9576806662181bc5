"""What `/docs` says beyond what the types of the endpoints say."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from app.api.problems import Problem

EVENT_STREAM: dict[str, Any] = {
    "description": "The answer; with `stream`, events: `delta`s, then one `done` or one `error`.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'event: delta\ndata: {"text":"Hello"}\n\nevent: done\ndata: {"id":"…"}\n\n',
        }
    },
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in statuses
    }


class DocumentedAPI(FastAPI):
    """FastAPI documents every model as `application/json`; problems have their own media type."""

    def openapi(self) -> dict[str, Any]:
        schema = super().openapi()
        for content in _contents_of_problems(schema):
            if "application/json" in content:
                content["application/problem+json"] = content.pop("application/json")
        return schema


def _contents_of_problems(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in schema["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    yield response.get("content", {})
