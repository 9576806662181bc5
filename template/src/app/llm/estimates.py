"""Estimates of the tokens and dollars of a call, before it is made and where its usage is not reported."""

from collections.abc import Sequence
from functools import lru_cache

from app.clients.ledger import NOTHING, Use
from app.llm.costs import PriceList, Receipt
from app.llm.providers.policy import ProviderPolicy
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, Message, Usage

_CHARS_PER_TOKEN = 4
# Of an image in full resolution, at either vendor.
_TOKENS_PER_IMAGE = 1_500
_TOKENS_PER_MESSAGE = 4
# The price of a token is that of a usage with these prompt tokens: few, because long prompts cost more.
_SAMPLE_TOKENS = 1000
# The tokens of a larger body, of images or many texts, are not proportional to its bytes. Its calls
# reserve the rest of what they need.
_MAX_BODY_BYTES = 32_768


class Estimator:
    """Estimates the use of a call by its characters, `max_tokens`, and the model's price."""

    def __init__(self, prices: PriceList, providers: Sequence[ProviderPolicy]) -> None:
        self._prices = prices
        self._providers = {policy.name: policy for policy in providers}
        self._first = providers[0]
        self._rates = lru_cache(maxsize=256)(self._rates_of)

    def of_body(self, body_bytes: int) -> Use:
        """The use of a chat with default settings, and with a body of this size."""
        prompt = min(body_bytes, _MAX_BODY_BYTES) // _CHARS_PER_TOKEN
        return self._use(self._first, self._first.model, prompt, self._first.max_tokens)

    def of(self, request: ChatRequest | EmbeddingRequest) -> Use:
        """The largest use to expect of a call to the first provider that may get it."""
        if isinstance(request, EmbeddingRequest):
            return self.of_part(request, self._first.name, 0)
        provider = self._providers.get(request.provider or "", self._first)
        limit = provider.max_tokens if request.max_tokens is None else request.max_tokens
        return self.of_part(request, provider.name, limit)

    def of_part(
        self, request: ChatRequest | EmbeddingRequest, provider: str, completion: int
    ) -> Use:
        """The use of a call to this provider with so many tokens of the answer."""
        policy = self._providers[provider]
        model = request.model or policy.model
        if isinstance(request, EmbeddingRequest):
            model = request.model or policy.embedding_model or policy.model
        return self._use(policy, model, prompt_tokens(request), completion)

    def _use(self, policy: ProviderPolicy, model: str, prompt: int, completion: int) -> Use:
        per_prompt, per_completion = self._rates(policy.vendor or policy.name, model)
        dollars = round(prompt * per_prompt + completion * per_completion)
        return Use(prompt + completion, dollars)

    def _rates_of(self, vendor: str, model: str) -> tuple[float, float]:
        """Dollars x 1e-9 per token of the prompt and of the completion; 0 for an unknown price."""
        return self._rate(vendor, model, _SAMPLE_TOKENS, 0), self._rate(
            vendor, model, 0, _SAMPLE_TOKENS
        )

    def _rate(self, vendor: str, model: str, prompt: int, completion: int) -> float:
        total = prompt + completion
        usage = Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=total)
        return _nanousd(self._prices.cost_usd(vendor, model, usage)) / _SAMPLE_TOKENS


def prompt_tokens(request: ChatRequest | EmbeddingRequest) -> int:
    if isinstance(request, EmbeddingRequest):
        return sum(map(len, request.texts)) // _CHARS_PER_TOKEN + len(request.texts)
    chars = sum([_message_chars(message) for message in request.messages])
    if request.tools:
        chars += sum([len(tool.description) + len(str(tool.parameters)) for tool in request.tools])
    return chars // _CHARS_PER_TOKEN + _TOKENS_PER_MESSAGE * len(request.messages)


def _message_chars(message: Message) -> int:
    if isinstance(message.content, str) and not message.tool_calls:
        return len(message.content)
    arguments = sum([len(call.arguments) for call in message.tool_calls])
    images = _TOKENS_PER_IMAGE * _CHARS_PER_TOKEN * len(message.images)
    return len(message.text) + arguments + images


class AttemptUse:
    """What one attempt at a provider uses, by the receipt of `Billed` below.

    Where the receipt does not have the whole usage, it is completed with an estimate of the prompt and
    of the received text. Otherwise a client that cancels each stream would pay for none. An attempt that
    the provider did not receive, or answered with an error status, uses nothing.
    """

    def __init__(
        self,
        estimator: Estimator,
        provider: str,
        request: ChatRequest | EmbeddingRequest,
        receipt: Receipt,
    ) -> None:
        self._estimator = estimator
        self._provider = provider
        self._request = request
        self._receipt = receipt
        self._before = _reported(receipt)
        self._unknown = len(receipt.unknown)
        self._characters = receipt.characters

    def of(self, answer: LLMResponse | Embeddings) -> Use:
        return self._use(len(answer.content) if isinstance(answer, LLMResponse) else 0)

    def of_failure(self) -> Use:
        return self._use(self._receipt.characters - self._characters)

    def _use(self, characters: int) -> Use:
        used = _reported(self._receipt)
        if self._before is not NOTHING:
            used = used.minus(self._before)
        unknown = self._receipt.unknown
        if len(unknown) == self._unknown or set(unknown[self._unknown :]) == {"no_price"}:
            return used
        completion = characters // _CHARS_PER_TOKEN
        estimate = self._estimator.of_part(self._request, self._provider, completion)
        return used.plus(estimate.beyond(used))


def _reported(receipt: Receipt) -> Use:
    usage = receipt.usage
    if usage is None:
        return NOTHING
    return Use(usage.prompt_tokens + usage.completion_tokens, _nanousd(receipt.cost_usd))


def _nanousd(cost_usd: float | None) -> int:
    return 0 if cost_usd is None else round(cost_usd * 1_000_000_000)
