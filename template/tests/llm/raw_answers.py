"""Answers as bytes, and the outcome of a call that gets one."""

from app.errors import LLMError
from app.llm.exchange import Exchange
from app.llm.http import HTTPPolicy, open_connections
from tests.llm.loopback import Loopback

BODY = b'{"ok":1}'
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 8\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"
WHOLE = OK + LENGTH + b"\r\n" + BODY
Outcome = bytes | type[LLMError]


async def outcome(server: Loopback, policy: HTTPPolicy) -> Outcome:
    async with open_connections(policy) as connections:
        http = connections.to("openai", server.base_url, {}, lambda _: None)
        try:
            with Exchange() as exchange:
                return await http.post_json("/x", {}, exchange)
        except LLMError as error:
            return type(error)
