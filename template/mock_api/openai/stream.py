"""A completion as OpenAI's stream: the role, the pieces, the finish reason, the usage, [DONE]."""

from collections.abc import Iterator

import orjson

from mock_api.answers import Completion
from mock_api.openai.chat import CREATED, FINGERPRINT, FINISH_REASONS, usage
from mock_api.openai.requests import ChatRequest
from mock_api.openai.wire import ChatCompletionChunk, Delta, FinishReason
from mock_api.reply import Frame


class ChatStream:
    def __init__(self, request: ChatRequest, completion: Completion, digest: str) -> None:
        self._model = request.model
        self._completion = completion
        self._digest = digest
        options = request.stream_options
        self._with_usage = options is not None and options.include_usage is True

    def frames(self) -> Iterator[Frame]:
        yield self._frame(self._opening())
        for piece in self._completion.pieces:
            yield self._frame(self._delta(piece), content=True)
        yield self._frame({}, finish=FINISH_REASONS[self._completion.ended])
        if self._with_usage:
            last = self._chunk()
            last["usage"] = usage(self._completion)
            yield _frame(last)
        yield Frame(b"data: [DONE]\n\n")

    def _opening(self) -> Delta:
        if self._completion.tool is None:
            return {"role": "assistant", "content": ""}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "index": 0,
                    "id": f"call_{self._digest}",
                    "type": "function",
                    "function": {"name": self._completion.tool, "arguments": ""},
                }
            ],
        }

    def _delta(self, piece: str) -> Delta:
        if self._completion.tool is None:
            return {"content": piece}
        return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}

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


def _frame(chunk: ChatCompletionChunk, *, content: bool = False) -> Frame:
    return Frame(b"data: " + orjson.dumps(chunk) + b"\n\n", content)
