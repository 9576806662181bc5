import re

import pytest

from tests.door import Door


async def test_docs_is_a_page(door: Door) -> None:
    answer = await door.http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "<title>AI service</title>" in answer.text


async def test_docs_fetches_nothing_from_elsewhere(door: Door) -> None:
    page = (await door.http.get("/docs")).text
    fetched = re.findall(r"""(?:src|href|url)(?:=|: )["']([^"']+)["']""", page)
    assert len(fetched) == 4
    assert [path for path in fetched if "//" in path] == []
    answers = [await door.http.get(f"/{path}") for path in fetched]
    assert [answer.status_code for answer in answers] == [200] * 4


@pytest.mark.parametrize("status", [413, 422, 500, 502, 503, 504])
async def test_every_problem_of_chat_is_documented_as_what_it_is(door: Door, status: int) -> None:
    schema = (await door.http.get("/openapi.json")).json()
    content = schema["paths"]["/v1/chat"]["post"]["responses"][str(status)]["content"]
    assert content == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }


async def test_a_stream_is_documented_beside_the_answer_in_one_piece(door: Door) -> None:
    schema = (await door.http.get("/openapi.json")).json()
    content = schema["paths"]["/v1/chat"]["post"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "text/event-stream"}
