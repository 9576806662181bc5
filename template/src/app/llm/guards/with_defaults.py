from app.llm.guards.guard import Call, Guard, Work
from app.llm.opened_stream import OpenedStream
from app.llm.providers.policy import ProviderPolicy
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse


class WithDefaults(Guard):
    """Fills in what a request leaves to the settings.

    So every guard below knows the model and the parameters of the call: a log line names them, a
    cache key depends on them.
    """

    def __init__(self, policy: ProviderPolicy) -> None:
        self._policy = policy

    def complete(
        self, request: ChatRequest, call: Call[ChatRequest, LLMResponse]
    ) -> Work[LLMResponse]:
        return call(self._policy.applied_to(request))

    def open_stream(
        self, request: ChatRequest, call: Call[ChatRequest, OpenedStream]
    ) -> Work[OpenedStream]:
        return call(self._policy.applied_to(request))

    def embed(
        self, request: EmbeddingRequest, call: Call[EmbeddingRequest, Embeddings]
    ) -> Work[Embeddings]:
        return call(self._policy.applied_to_embedding(request))
