"""Each provider's own parameter for the form of an answer."""

from dataclasses import replace

import pytest
from pydantic import JsonValue

from app.llm.providers.anthropic import convert as anthropic
from app.llm.providers.openai import convert as openai
from app.llm.types import AnswerSchema
from tests.llm.samples import REQUEST

SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {},
    "required": [],
    "additionalProperties": False,
}
ASKED = replace(REQUEST, answer_schema=AnswerSchema("Nothing", SCHEMA))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_openai_gets_a_strict_schema_with_a_name(*, stream: bool) -> None:
    assert openai.request_to_wire(ASKED, "gpt-x", stream=stream).get("response_format") == {
        "type": "json_schema",
        "json_schema": {"name": "Nothing", "schema": SCHEMA, "strict": True},
    }


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_anthropic_gets_a_format_for_its_output(*, stream: bool) -> None:
    assert anthropic.request_to_wire(ASKED, "claude-x", 9, stream=stream).get("output_config") == {
        "format": {"type": "json_schema", "schema": SCHEMA}
    }


def test_without_a_schema_nothing_is_said_about_the_form() -> None:
    assert "response_format" not in openai.request_to_wire(REQUEST, "gpt-x", stream=False)
    assert "output_config" not in anthropic.request_to_wire(REQUEST, "claude-x", 9, stream=False)
