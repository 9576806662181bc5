"""Answers of the providers with a changed field, and how they are read."""

import copy
import json
from typing import Any

import httpx2 as httpx

from app.llm.http import HTTPPolicy, open_connections
from app.llm.types import LLMResponse
from tests.llm.samples import REQUEST, JSONObject, Sample

GONE = object()


async def answered(sample: Sample, answer: object) -> LLMResponse:
    body = json.dumps(answer).encode()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    async with open_connections(HTTPPolicy(), transport) as connections:
        return await sample.model(connections).complete(REQUEST)


def changed(sample: Sample, path: str, value: object) -> JSONObject:
    """The sample's answer with one place set to something else, or taken away."""
    answer = copy.deepcopy(sample.answer)
    place: Any = answer
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        place = place[part]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return answer
