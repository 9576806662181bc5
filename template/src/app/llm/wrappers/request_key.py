import json
from hashlib import sha256

from app.llm.types import AnswerSchema, ChatRequest

# Counts the shapes of key and cached value: raise it, and what an older release stored is not read.
_VERSION = 2


def request_key(request: ChatRequest, *, provider: str | None) -> str:
    """Say which requests are equal, so that one answer may do for both: those with equal keys.

    `provider` is who will answer, as far as that is known. No two tenants ever share a key.
    """
    parts = [
        _VERSION,
        provider,
        request.model,
        request.temperature,
        request.max_tokens,
        _schema(request.answer_schema),
        [[message.role, message.content] for message in request.messages],
        request.tenant,
    ]
    # JSON, because its quoting keeps two different requests from looking the same.
    return sha256(json.dumps(parts).encode()).hexdigest()


def _schema(schema: AnswerSchema | None) -> object:
    return None if schema is None else [schema.name, dict(schema.schema)]
