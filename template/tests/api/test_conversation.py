import pytest

from app.api.messages import MAX_IMAGES, fault_in
from app.llm.types import ChatRequest, ImagePart, Message, NamedTool, Tool, ToolCall

HI = Message("user", "Hi")
CALLS = Message(
    "assistant",
    "",
    (ToolCall(id="a", name="t", arguments="{}"), ToolCall(id="b", name="t", arguments="{}")),
)
A, B = Message("tool", "1", tool_call_id="a"), Message("tool", "2", tool_call_id="b")
IMAGES = Message("user", (ImagePart("https://example.com/i.png"),) * (MAX_IMAGES // 2 + 1))


def test_a_conversation_with_the_results_of_all_calls_has_no_fault() -> None:
    assert fault_in(ChatRequest((HI, CALLS, B, A, CALLS, A, B, HI), tools=(Tool("t"),))) is None


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ChatRequest((HI, A)), ("messages", 1, "tool_call_id")),
        (ChatRequest((HI, CALLS, A, A)), ("messages", 3, "tool_call_id")),
        (ChatRequest((HI, CALLS, A, HI)), ("messages", 3, "role")),
        (ChatRequest((HI, CALLS, A)), ("messages",)),
        (ChatRequest((HI, CALLS, A, B, HI, A)), ("messages", 5, "tool_call_id")),
        (ChatRequest((IMAGES, HI, IMAGES)), ("messages",)),
        (ChatRequest((HI,), tools=(Tool("t"), Tool("t"))), ("tools",)),
        (ChatRequest((HI,), tools=(Tool("t"),), tool_choice=NamedTool("u")), ("tool_choice",)),
        (ChatRequest((HI,), tool_choice="required"), ("tool_choice",)),
    ],
    ids=[
        "a result without a call",
        "two results of one call",
        "a missing result",
        "a missing result at the end",
        "a result of an earlier turn",
        "too many images",
        "two tools of one name",
        "a choice that is no tool",
        "required without tools",
    ],
)
def test_a_fault_is_found_in_its_field(request_: ChatRequest, field: tuple[str | int, ...]) -> None:
    fault = fault_in(request_)
    assert fault is not None
    assert fault.field == field
