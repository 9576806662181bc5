"""Drafts inside a model's thoughts are not the answer, wherever the text is cut into pieces."""

import pytest
from pydantic import BaseModel

from app.llm.structured.parse import JSONAnswer


class Thing(BaseModel):
    name: str


DRAFT = '{"name":"draft"}'
FINAL = '{"name":"final"}'

ANSWERS = {
    "think": f"<think>{DRAFT}</think>{FINAL}",
    "without a beginning": f"{DRAFT}</think>{FINAL}",
    "in prose, without a beginning": f"Okay, {DRAFT} so:\n</think>\n\n{FINAL}",
    "thinking": f"<thinking>{DRAFT}</thinking>\n\n{FINAL}",
    "reasoning": f"<reasoning>{DRAFT}</reasoning>{FINAL}",
    "thought": f"<thought>{DRAFT}</thought>{FINAL}",
    "several": f"<think>{DRAFT}</think>and<think>{DRAFT}</think>{FINAL}",
    "in capitals": f"<THINK>{DRAFT}</THINK>{FINAL}",
    "with a namespace": f"<seed:think>{DRAFT}</seed:think>{FINAL}",
    "with an attribute": f'<thinking time="3">{DRAFT}</thinking>{FINAL}',
    "Mistral": f"[THINK]{DRAFT}[/THINK]{FINAL}",
    "Mistral, without a beginning": f"{DRAFT}[/THINK]{FINAL}",
    "begin and end of thought": f"<|begin_of_thought|>{DRAFT}<|end_of_thought|>{FINAL}",
    "Cohere": f"<|START_THINKING|>{DRAFT}<|END_THINKING|><|START_RESPONSE|>{FINAL}",
    "Kimi": f"◁think▷{DRAFT}◁/think▷{FINAL}",
    "Gemma": f"<|channel>thought\n{DRAFT}<channel|>{FINAL}",
    "gpt-oss": f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final"
    f"<|message|>{FINAL}<|return|>",
    "gpt-oss in JSON": f"<|channel|>analysis<|message|>{DRAFT}<|end|><|channel|>final "
    f"<|constrain|>json<|message|>{FINAL}",
    "gpt-oss without markers": f"analysisWe need {DRAFT}.assistantfinal{FINAL}",
    "a broken draft": f'<think>{{"name": "dra</think>{FINAL}',
    "a broken draft without a beginning": f'{{"name": "dra</think>{FINAL}',
    "a draft in an array": f"[THINK] [1, {DRAFT}] [/THINK]{FINAL}",
    "nested": f"<think><think>{DRAFT}</think>{DRAFT}</think>{FINAL}",
    "another kind inside": f"<think><reasoning>x</reasoning>{DRAFT}</think>{FINAL}",
    "a thought after a draft": f"{DRAFT}<think>no</think>{FINAL}",
    "a thought after the answer": f"{FINAL}<think>fine</think>",
    "wrapped": f"<think>{DRAFT}</think>\n<answer>\n```json\n{FINAL}\n```\n</answer>",
    "no thought": f"a < b, 3 <4 [sic] <b>{FINAL}</b> [THE] end <|end|>",
}
NO_ANSWERS = {
    "cut off": f"<think>{DRAFT}",
    "nothing behind": f"<think>{DRAFT}</think>",
    "nothing behind, without a beginning": f"{DRAFT}</think>",
    "a channel": f"<|channel|>analysis<|message|>{DRAFT}<|end|>",
    "another kind inside, cut off": f"<think><reasoning>x</reasoning>{DRAFT}",
}
CONTENT = ["a </think> b", "<think>x", "[THINK] <|channel|>analysis", "assistantfinal", "◁/think▷"]


def read(text: str, size: int) -> Thing | None:
    reader, value = JSONAnswer(Thing), None
    for at in range(0, len(text), size):
        value = reader.feed(text[at : at + size])
    return value


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS)
def test_the_value_after_the_thought_is_the_answer(text: str) -> None:
    for size in range(1, len(text) + 1):
        assert read(text, size) == Thing(name="final")
    for at in range(len(text)):
        reader = JSONAnswer(Thing)
        reader.feed(text[:at])
        assert reader.feed(text[at:]) == Thing(name="final")


@pytest.mark.parametrize("text", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_a_draft_without_an_answer_is_no_answer(text: str) -> None:
    for size in range(1, len(text) + 1):
        assert read(text, size) is None


@pytest.mark.parametrize("name", CONTENT)
def test_a_marker_inside_a_value_is_content(name: str) -> None:
    text = Thing(name=name).model_dump_json()
    for size in range(1, len(text) + 1):
        assert read(text, size) == Thing(name=name)


@pytest.mark.parametrize("piece", ["<", "<think", "[", "a", "<think>", "</think>", "<|channel|>x "])
def test_finding_the_answer_takes_linear_time(piece: str) -> None:
    text = piece * 20_000
    assert read(text + "</think>" + FINAL, 7) in (None, Thing(name="final"))
