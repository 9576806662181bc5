"""The outermost layer: reads and records each request, and decides whether a fault applies."""

from hashlib import blake2b

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mock_api.anthropic.errors import ANTHROPIC
from mock_api.call import Call
from mock_api.faults import Faults
from mock_api.oddities import Spoken
from mock_api.openai.errors import OPENAI
from mock_api.recorder import Received, Recorder
from mock_api.refusal import Dialect, RefusalError
from mock_api.reply import ClientGoneError, Whole

_MAX_BODY_BYTES = 10 * 2**20
_MAX_BATCH_BYTES = 256 * 2**20
_BATCH_PATHS = ("/v1/files", "/v1/messages/batches")
_OPENAI_PATHS = ("/v1/chat", "/v1/embeddings", "/v1/models/", "/v1/files", "/v1/batches")
_OWN_PATHS = ("/_mock", "/healthz")  # neither recorded nor subject to faults


class Intake:
    def __init__(self, app: ASGIApp, faults: Faults, recorder: Recorder, spoken: Spoken) -> None:
        self._app = app
        self._faults = faults
        self._recorder = recorder
        self._spoken = spoken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OWN_PATHS):
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(receive, _max_bytes(scope["path"]))
        except ClientGoneError:
            return
        await self._answer(body, scope, receive, send)

    async def _answer(self, body: bytes | None, scope: Scope, receive: Receive, send: Send) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        received = self._recorder.add(scope["method"], path, headers.items(), body or b"")
        fault, oddity = self._faults.take(path), self._spoken.oddity
        if oddity.only_pings:
            fault = fault.model_copy(update={"ping_after_chunks": 0})
        digest, dialect = _digest(scope, body or b""), _dialect(path, headers)
        call = Call(body or b"", digest, dialect, fault, oddity)
        call.attach(scope)
        app = (
            self._app if body is not None else refused(RefusalError(413, "Request too large"), call)
        )
        if (odd := oddity.refusal(call.body)) is not None:
            app = Whole(odd[1], odd[0])
        if (refusal := call.fault.refusal) is not None:
            app = refused(refusal, call)
        await app(scope, receive, _noting(received, call, send))


def refused(refusal: RefusalError, call: Call) -> Whole:
    headers = {} if refusal.retry_after is None else {"retry-after": refusal.retry_after}
    return Whole(call.dialect.error_body(refusal, call.request_id), refusal.status, headers)


def _noting(received: Received, call: Call, send: Send) -> Send:
    """Record the status of any answer, and add the request id to it."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            received.status = message["status"]
            MutableHeaders(scope=message)[call.dialect.request_id_header] = call.request_id
        await send(message)

    return noting


def _max_bytes(path: str) -> int:
    return _MAX_BATCH_BYTES if path.startswith(_BATCH_PATHS) else _MAX_BODY_BYTES


async def _read(receive: Receive, max_bytes: int) -> bytes | None:
    """The body; None if it is too large, which is checked while it arrives."""
    body = bytearray()
    while len(body) <= max_bytes:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body) if len(body) <= max_bytes else None


def _digest(scope: Scope, body: bytes) -> str:
    start = f"{scope['method']} {scope['path']}\n".encode("utf-8", "surrogatepass")
    return blake2b(start + body, digest_size=12).hexdigest()


def _dialect(path: str, headers: Headers) -> Dialect:
    """The dialect of the path; on a path of both APIs or of none, the dialect of the headers."""
    if path.startswith(_OPENAI_PATHS):
        return OPENAI
    asks_anthropic = path.startswith("/v1/messages") or "anthropic-version" in headers
    return ANTHROPIC if asks_anthropic else OPENAI
