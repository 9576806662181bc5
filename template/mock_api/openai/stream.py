"""OpenAI's stream of a completion: the role, the pieces, the finish reason, the usage, [DONE]."""

from collections.abc import Iterator

import orjson

from mock_api.answers import Call, Completion
from mock_api.frames import Frame
from mock_api.openai.chat import CREATED, FINGERPRINT, FINISH_REASONS, call_id, usage
from mock_api.openai.requests import ChatRequest
from mock_api.openai.wire import ChatCompletionChunk, Delta, FinishReason


class ChatStream:
    def __init__(self, request: ChatRequest, completion: Completion, digest: str) -> None:
        self._model = request.model
        self._completion = completion
        self._digest = digest
        options = request.stream_options
        self._with_usage = options is not None and options.include_usage is True

    def frames(self) -> Iterator[Frame]:
        has_calls = bool(self._completion.calls)
        yield self._frame({"role": "assistant", "content": None if has_calls else ""})
        for piece in self._completion.pieces:
            yield self._frame({"content": piece}, content=True)
        for index, call in enumerate(self._completion.calls):
            yield self._frame(self._begun(index, call))
            for piece in call.pieces:
                yield self._frame(_grown(index, piece), content=True)
        yield self._frame({}, finish=FINISH_REASONS[self._completion.ended])
        if self._with_usage:
            last = self._chunk()
            last["usage"] = usage(self._completion)
            yield _frame(last)
        yield Frame(b"data: [DONE]\n\n")

    def _begun(self, index: int, call: Call) -> Delta:
        return {
            "tool_calls": [
                {
                    "index": index,
                    "id": call_id(self._digest, index),
                    "type": "function",
                    "function": {"name": call.tool, "arguments": ""},
                }
            ],
        }

    def _frame(
        self, delta: Delta, finish: FinishReason | None = None, *, content: bool = False
    ) -> Frame:
        chunk = self._chunk()
        chunk["choices"].append(
            {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        )
        return _frame(chunk, content=content)

    def _chunk(self) -> ChatCompletionChunk:
        chunk: ChatCompletionChunk = {
            "id": f"chatcmpl-{self._digest}",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": self._model,
            "system_fingerprint": FINGERPRINT,
            "choices": [],
        }
        if self._with_usage:
            chunk["usage"] = None
        return chunk


def _grown(index: int, piece: str) -> Delta:
    return {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _frame(chunk: ChatCompletionChunk, *, content: bool = False) -> Frame:
    return Frame(b"data: " + orjson.dumps(chunk) + b"\n\n", content)
