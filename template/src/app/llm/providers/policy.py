"""What servers that speak one API differ in, as data: see docs/providers.md."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Literal
from urllib.parse import parse_qsl

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, SecretStr, StringConstraints

from app.errors import LLMError, UnsupportedRequestError
from app.llm.types import ChatRequest, EmbeddingRequest, ResolvedRequest
from app.resilience.retry import RetryPolicy

MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
EmbeddingEncoding = Literal["base64", "float"]
JSONMode = Literal["json_schema", "json_object", "none"]
Images = Literal["url", "data", "none"]
KeyHeader = Literal["authorization", "api-key", "x-api-key"]
DeadlineHeader = Literal[
    "none", "x-request-timeout", "x-litellm-timeout", "x-envoy-upstream-rq-timeout-ms"
]


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about one server. Each is a setting: `PROVIDERS__<NAME>__<FIELD>`.

    The defaults are OpenAI's own. `app.llm.providers.presets` has those of other servers.
    """

    # The field that limits the answer. A server that does not know it refuses the call, or ignores it.
    max_tokens_field: MaxTokensField = "max_completion_tokens"
    # Whether the server accepts `stream_options`, which asks for the token counts of a stream.
    stream_options: bool = True
    # base64 has a third of the bytes of a list of numbers; not every server knows it.
    embedding_encoding: EmbeddingEncoding = "base64"
    # How the server is told the form of an answer. Below `json_schema` the schema is in the prompt.
    json_mode: JSONMode = "json_schema"
    # Whether the server accepts `tools`.
    tools: bool = True
    # Which images the server accepts: https URLs and data URLs, data URLs only, or none.
    images: Images = "url"
    max_temperature: Annotated[float, Gt(0), Le(2)] = 2.0
    key_header: KeyHeader = "authorization"
    # Whether production refuses to start without a key.
    key_required: bool = True
    # Whether this service repeats a failed call. A gateway that repeats calls itself is the only one
    # that does: two attempts here and three there would be six.
    retries: bool = True
    # The header that carries the time that is left, in seconds or, by its name, in milliseconds.
    deadline_header: DeadlineHeader = "none"


# In dev a provider needs no key: the mock API takes any. Production refuses to start without one,
# unless the provider's facts say that it needs none.
PLACEHOLDER_KEY = "mock"

_NO_LIST = {404, 405}

# Here, because `fields` takes a call for each field.
_REQUEST_FIELDS = tuple(each.name for each in fields(ChatRequest))

# Metadata of a field that has no variable of its own.
NO_SETTING = {"setting": False}


def sendable(key: SecretStr) -> SecretStr:
    """Accept what can travel in a header.

    A key with a line break in it would fail in the middle of a call, with an error that repeats it.
    The final newline of a mounted file is removed.
    """
    value = key.get_secret_value().strip()
    if not value or not value.isascii() or not value.isprintable():
        raise ValueError("a key consists of printable ASCII characters")
    return SecretStr(value)


@contextmanager
def without_list() -> Iterator[None]:
    """Accept that a server has no list of models, as Azure's deployments have none.

    It answers 404 or 405 to a ping: it is there, which is all that a ping asks.
    """
    try:
        yield
    except LLMError as error:
        if error.status not in _NO_LIST:
            raise


@dataclass(frozen=True, slots=True)
class ProviderPolicy:
    """One provider: its address, its key, its default models, and the facts about its server.

    `base_url` may have a query, which goes with every call: Azure's `?api-version=2024-10-21`.
    Without an `embedding_model` the provider has no embeddings. `api` is the language that it
    speaks (`app.llm.providers.registry`), `vendor` the company that sets the prices.
    """

    base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+\S*$")]
    model: Annotated[str, StringConstraints(min_length=1)]
    api_key: Annotated[SecretStr, AfterValidator(sendable)] | None = None
    temperature: Annotated[float, Ge(0), Le(2)] | None = None
    max_tokens: int = 1024
    embedding_model: Annotated[str, StringConstraints(min_length=1)] | None = field(
        default=None, metadata=NO_SETTING
    )
    api: str = field(default="openai", metadata=NO_SETTING)
    name: str = field(default="", metadata=NO_SETTING)
    vendor: str = field(default="", metadata=NO_SETTING)
    facts: Facts = field(default=Facts(), metadata=NO_SETTING)

    @property
    def models(self) -> frozenset[str]:
        """Those that are asked unless a request names another: a bounded set, for metrics."""
        return frozenset({self.model, self.embedding_model or self.model})

    @property
    def key(self) -> str:
        return PLACEHOLDER_KEY if self.api_key is None else self.api_key.get_secret_value()

    @property
    def address(self) -> str:
        return self.base_url.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.base_url.partition("?")[2], keep_blank_values=True))

    @property
    def key_headers(self) -> dict[str, str]:
        """The header that carries the key. A server that needs no key and has none gets no header."""
        if self.api_key is None and not self.facts.key_required:
            return {}
        if self.facts.key_header == "authorization":
            return {"Authorization": f"Bearer {self.key}"}
        return {self.facts.key_header: self.key}

    @property
    def deadline_header(self) -> str | None:
        return None if self.facts.deadline_header == "none" else self.facts.deadline_header

    def retrying(self, policy: RetryPolicy) -> RetryPolicy:
        """The retry policy for this provider."""
        return policy if self.facts.retries else replace(policy, max_attempts=1)

    def applied_to(self, request: ChatRequest) -> ResolvedRequest:
        """Fill in the settings where the request has `None`. A resolved request stays as it is.

        Raises `UnsupportedRequestError` for a request that the provider cannot serve. A temperature is
        not clamped: a caller that asks for 1.5 would measure another temperature than it believes.
        """
        if isinstance(request, ResolvedRequest):
            return request
        known = {name: getattr(request, name) for name in _REQUEST_FIELDS}
        known["model"] = request.model or self.model
        known["temperature"] = (
            self.temperature if request.temperature is None else request.temperature
        )
        known["max_tokens"] = self.max_tokens if request.max_tokens is None else request.max_tokens
        asked = ResolvedRequest(**known)
        if (missing := self._unsupported(asked)) is not None:
            name = self.name or self.api
            raise UnsupportedRequestError(f"{name} accepts {missing}", provider=name)
        return asked

    def _unsupported(self, asked: ResolvedRequest) -> str | None:
        """The limit of the provider that the request exceeds, to be read after "NAME accepts"."""
        facts = self.facts
        if (asked.temperature or 0) > facts.max_temperature:
            return f"a temperature from 0 to {facts.max_temperature:g}, not {asked.temperature:g}"
        if asked.tools and not facts.tools:
            return "no tools"
        if facts.images == "url":
            return None
        images = [image for message in asked.messages for image in message.images]
        if images and facts.images == "none":
            return "no images"
        if facts.images == "data" and not all(image.is_data for image in images):
            return "images as data URLs only, not by https URL"
        return None

    def applied_to_embedding(self, request: EmbeddingRequest) -> EmbeddingRequest:
        """The request with its model; `UnsupportedRequestError` when the provider has no embeddings."""
        model = request.model or self.embedding_model
        if model is None:
            name = self.name or self.api
            raise UnsupportedRequestError(f"{name} has no embeddings", provider=name)
        return replace(request, model=model)
