"""Error answers in Anthropic's format."""

from mock_api.anthropic.wire import ErrorBody
from mock_api.refusal import Dialect, RefusalError

_WORDS = {
    400: ("invalid_request_error", "The request is invalid."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low."),
    403: ("permission_error", "Your API key may not use this resource."),
    404: ("not_found_error", "Not found"),
    409: ("conflict_error", "The request conflicts with the state of the resource."),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your rate limit."),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "The request timed out."),
    529: ("overloaded_error", "Overloaded"),
}


def error_body(refusal: RefusalError, request_id: str) -> ErrorBody:
    kind, message = _WORDS.get(refusal.status, _WORDS[refusal.kind])
    message = refusal.message or message
    field = ".".join(str(part) for part in refusal.field)
    return {
        "type": "error",
        "error": {"type": kind, "message": f"{field}: {message}" if field else message},
        "request_id": request_id,
    }


ANTHROPIC = Dialect("request-id", error_body, b'event: ping\ndata: {"type": "ping"}\n\n')
