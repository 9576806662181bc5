"""Which fact is wrong, when a server refuses a field that it does not know."""

import re

import structlog

from app.llm.http import ErrorReader
from app.llm.providers.policy import ProviderPolicy
from app.llm.status import ErrorDetail

_log = structlog.get_logger(__name__)

# The field that a server may not know, and the fact that decides whether it is sent.
_FACT_OF = {
    "max_completion_tokens": "MAX_TOKENS_FIELD",
    "max_tokens": "MAX_TOKENS_FIELD",
    "stream_options": "STREAM_OPTIONS",
    "encoding_format": "EMBEDDING_ENCODING",
    "response_format": "JSON_MODE",
    "output_config": "JSON_MODE",
    "tools": "TOOLS",
    "tool_choice": "TOOLS",
    "image_url": "IMAGES",
    "temperature": "MAX_TEMPERATURE",
}
# The words of FastAPI's and pydantic's servers, OpenAI, Azure, Google and the gateways.
_UNKNOWN = re.compile(
    rb"extra.?(forbidden|inputs|fields)|unknown (name|field|parameter|argument)|unrecognized"
    rb"|(unsupported|unexpected|invalid) (parameter|field|argument|keyword|property|value)"
    rb"|not (supported|allowed|permitted)",
    re.IGNORECASE,
)
_FIELDS = re.compile(rb"\b(" + "|".join(_FACT_OF).encode() + rb")\b")


def reporting_refused_fields(read_error: ErrorReader, policy: ProviderPolicy) -> ErrorReader:
    """Read errors as before, and log the setting to change when one names a field of ours."""

    def read(body: bytes) -> ErrorDetail | None:
        if (field := _refused_field(body)) is not None:
            name = policy.name or policy.api
            setting = f"PROVIDERS__{name.removesuffix('-sdk').replace('-', '_').upper()}__"
            _log.warning(
                "llm.field_refused",
                provider=name,
                field=field,
                setting=setting + _FACT_OF[field],
            )
        return read_error(body)

    return read


def _refused_field(body: bytes) -> str | None:
    found = _FIELDS.search(body)
    return found[1].decode() if found and _UNKNOWN.search(body) else None
