"""A chat model that answers by batches: calls wait, and go together once no caller has anything to add."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar

from app.errors import LLMError, UnsupportedRequestError
from app.llm.batch import Outcome
from app.llm.batches import Batches
from app.llm.types import (
    ChatRequest,
    Done,
    EmbeddingRequest,
    Embeddings,
    LLMResponse,
    StreamEvent,
    TextDelta,
)

# The name of the work that a call belongs to, such as a case and the number of its trial. The same
# names after a restart find the results of the batches that were sent before.
work: ContextVar[str] = ContextVar("work", default="")


class BatchedModel:
    """Collects the calls of all callers into batches.

    It knows how many callers there are (`expect`, `left`), and sends what it has when each of them
    waits for an answer. So no time has to be guessed, and a caller that asks again (with the errors of
    an answer that was not valid, for example) makes a second batch with the others that do.
    """

    def __init__(self, batches: Batches, tasks: asyncio.TaskGroup) -> None:
        self.name = batches.name
        self._batches = batches
        self._tasks = tasks
        self._callers = 0
        self._calls: Counter[str] = Counter()  # of each work so far
        self._asked: dict[str, ChatRequest] = {}  # not sent yet
        self._answers: dict[str, asyncio.Future[LLMResponse]] = {}

    def expect(self, callers: int) -> None:
        self._callers += callers

    def left(self) -> None:
        """One caller less: it has its result, or it has failed."""
        self._callers -= 1
        self._send_if_complete()

    async def complete(self, request: ChatRequest, /) -> LLMResponse:
        if request.provider not in (None, self.name):
            message = f"the batch goes to {self.name}, and not to {request.provider}"
            raise UnsupportedRequestError(message, provider=self.name)
        label = work.get()
        self._calls[label] += 1
        name = f"{label}/{self._calls[label]}"
        answer: asyncio.Future[LLMResponse] = asyncio.get_running_loop().create_future()
        self._asked[name], self._answers[name] = request, answer
        self._send_if_complete()
        return await answer

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        response = await self.complete(request)
        if response.content:
            yield TextDelta(response.content)
        yield Done(response)

    async def embed(self, _request: EmbeddingRequest, /) -> Embeddings:
        raise UnsupportedRequestError("batches are for chat only", provider=self.name)

    def _send_if_complete(self) -> None:
        if self._asked and len(self._answers) >= self._callers:
            asked, self._asked = self._asked, {}
            self._tasks.create_task(self._batches.run(asked, self._deliver))

    def _deliver(self, outcomes: Mapping[str, Outcome]) -> None:
        for name, outcome in outcomes.items():
            answer = self._answers.pop(name)
            if answer.done():  # its caller was cancelled
                continue
            if isinstance(outcome, LLMError):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)


@asynccontextmanager
async def open_batched(batches: Batches) -> AsyncIterator[BatchedModel]:
    """An error in the block ends the wait for the batches that run; they can be continued later."""
    tasks = asyncio.TaskGroup()
    try:
        async with tasks:
            yield BatchedModel(batches, tasks)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
