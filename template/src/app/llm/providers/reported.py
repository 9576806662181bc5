"""Errors that a provider reports, in whichever envelope they come.

Seen in the field: `{"error": {…}}` (OpenAI, Anthropic), `[{"error": {…}}]` (Gemini), `{"error": "…"}`
(Ollama), `{"detail": …}` (FastAPI), `{"object": "error", …}` (vLLM), `{"message": …, "code": …}`
(Mistral, gateways), `{"success": false, "errors": […]}` (Cloudflare), `{"error_type": …,
"error_message": …}` (DeepInfra), `{"base_resp": {"status_code": …}}` (MiniMax), plain text (proxies).
"""

from collections.abc import Iterable, Iterator, Mapping

from pydantic import JsonValue
from pydantic_core import from_json

from app.llm.pauses import told_pause_s
from app.llm.providers.boundary import is_empty
from app.llm.status import ErrorDetail, reported_error

_MESSAGES = (
    "message",
    "error_message",
    "errorMessage",
    "error_msg",
    "detail",
    "msg",
    "status_msg",
    "error_description",
    "description",
    "Message",
    "title",
    "error",
    "errors",
)
_KINDS = ("type", "code", "status", "error_code", "error_type", "errorCode", "reason", "__type")
_STATUSES = ("code", "status_code", "status", "statusCode", "http_status", "error_code")
_FAILURES = range(400, 600)
_MAX_DEPTH = 3
_MAX_DETAILS = 5
# An object with one of these is an answer, and words such as "message" in it are no error.
_ANSWER = ("choices", "content", "data", "delta", "content_block", "usage", "index")
_FAILED = {"error", "fail", "failed", "failure"}


def read_error(body: bytes) -> ErrorDetail | None:
    """What the body of a failed HTTP answer tells. Nothing for a proxy's page."""
    try:
        value: JsonValue = from_json(body)
    except ValueError:
        return _plain(body)
    return _detail(value)


def error_in(value: JsonValue) -> ErrorDetail | None:
    """The error that a JSON value of an answer with status 200 reports, if it reports one."""
    if isinstance(value, list):
        return next((found for item in value[:1] if (found := error_in(item))), None)
    if not isinstance(value, dict):
        return None
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(first, dict) and (error := first.get("error")) and _tells(error):  # OpenRouter's
        return _detail(first)
    return _detail(value) or ErrorDetail("") if _is_error(value) else None


def raise_error_in(value: JsonValue, provider: str) -> None:
    """Raise the error that the value reports, if it reports one."""
    if (detail := error_in(value)) is not None:
        raise reported_error(detail, provider=provider)


def told(data: str) -> ErrorDetail:
    """What the data of an event named "error" tells."""
    try:
        found = error_in(from_json(data))
    except ValueError:
        found = None
    return found or read_error(data.encode()) or ErrorDetail("")


def _plain(body: bytes) -> ErrorDetail | None:
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return None
    return None if not text or text[0] in "<{[" else ErrorDetail(text)


def _is_error(value: Mapping[str, JsonValue]) -> bool:
    error = value.get("error")
    if (error and _tells(error)) or value.get("type") == "error":
        return True
    if any(map(value.get, _ANSWER)) or not is_empty(value.get("index")):
        return False
    return (
        value.get("object") == "error"
        or value.get("success") is False
        or value.get("ok") is False
        or not is_empty(value.get("errors"))
        or not is_empty(value.get("detail"))
        or not is_empty(value.get("error_message"))
        or not is_empty(value.get("error_msg"))
        or str(value.get("status")).lower() in _FAILED
        or _base_status(value) != 0
        or (_is_sentence(value.get("message")) and _describes_itself(value))
    )


def _is_sentence(value: JsonValue) -> bool:
    return isinstance(value, str) and bool(value)


def _describes_itself(value: Mapping[str, JsonValue]) -> bool:
    return set(value) == {"message"} or any(kind in value for kind in _KINDS)


def _tells(error: JsonValue) -> bool:
    """Whether an `error` field holds an error: some servers send one with empty values."""
    if isinstance(error, dict):
        return any(not is_empty(member) and member != 0 for member in error.values())
    return not is_empty(error) and error != 0


def _base_status(value: Mapping[str, JsonValue]) -> JsonValue:
    base = value.get("base_resp")
    return base.get("status_code", 0) if isinstance(base, dict) else 0


def _detail(value: JsonValue) -> ErrorDetail | None:
    """None when the value tells nothing at all."""
    value = next(iter(value), None) if isinstance(value, list) else value
    levels = list(_levels(value, _MAX_DEPTH))
    message = _message(value) if isinstance(value, str) else _first_message(levels)
    if raw := next((raw for level in levels if isinstance(raw := level.get("raw"), str)), ""):
        message = f"{message}: {_reason(raw)}"  # OpenRouter's: the words of the server behind it
    kinds = {kind for level in levels for key in _KINDS if isinstance(kind := level.get(key), str)}
    statuses = [s for level in levels for key in _STATUSES if (s := _status(level.get(key)))]
    if not (message or kinds or statuses):
        return None
    status, pause_s = next(iter(statuses), None), told_pause_s(levels, message)
    return ErrorDetail(message, frozenset(kinds), status, pause_s)


def _first_message(levels: Iterable[Mapping[str, JsonValue]]) -> str:
    return next((text for level in levels if (text := _message(level))), "")


def _levels(value: JsonValue, depth: int) -> Iterator[Mapping[str, JsonValue]]:
    """The objects in which an error describes itself, the innermost `error` first."""
    if isinstance(value, list):
        value = next(iter(value), None)
    if not isinstance(value, dict) or not depth:
        return
    inner = value.get("error") or value.get("errors") or value.get("base_resp")
    yield from _levels(inner, depth - 1)
    yield value
    for field in ("details", "metadata", "detail"):
        told = value.get(field)
        for item in told[:_MAX_DETAILS] if isinstance(told, list) else (told,):
            yield from _levels(item, depth - 1)


def _reason(raw: str) -> str:
    behind = read_error(raw.encode())
    return behind.message if behind is not None else raw


def _message(value: JsonValue | Mapping[str, JsonValue], depth: int = _MAX_DEPTH) -> str:
    """The sentence in a value: the value itself, or the field that holds it."""
    if isinstance(value, str) or not depth:
        return value.strip() if isinstance(value, str) else ""
    if isinstance(value, list):
        return "; ".join(text for item in value[:3] if (text := _message(item, depth - 1)))
    if isinstance(value, Mapping):
        found = (_message(value.get(field), depth - 1) for field in _MESSAGES)
        return next((text for text in found if text), "")
    return ""


def _status(value: JsonValue) -> int | None:
    """A number from 400 to 599, which some servers write as text."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and value in _FAILURES else None
