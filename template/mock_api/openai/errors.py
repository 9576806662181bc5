"""Error answers in OpenAI's format."""

from typing import NamedTuple

from mock_api.openai.wire import ErrorBody
from mock_api.refusal import Dialect, RefusalError


class _Words(NamedTuple):
    type: str
    code: str | None
    message: str


_WORDS = {
    400: _Words("invalid_request_error", None, "The request is invalid."),
    401: _Words("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: _Words("invalid_request_error", "unsupported_country_region_territory", "Not allowed."),
    404: _Words("invalid_request_error", None, "Not found."),
    429: _Words("requests", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
    500: _Words("server_error", None, "The server had an error while processing your request."),
    503: _Words(
        "server_error", None, "The engine is currently overloaded, please try again later."
    ),
}


def error_body(refusal: RefusalError, _request_id: str) -> ErrorBody:
    words = _WORDS.get(refusal.status, _WORDS[refusal.kind])
    field = _field(refusal.field)
    message = refusal.message or words.message
    return {
        "error": {
            "message": f"Invalid '{field}': {message}." if field else message,
            "type": words.type,
            "param": field or None,
            "code": refusal.code or words.code,
        }
    }


def _field(path: tuple[str | int, ...]) -> str:
    """The path of a field as OpenAI writes it: `messages[0].role`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


OPENAI = Dialect("x-request-id", error_body, b": ping\n\n")
