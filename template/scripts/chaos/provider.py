"""A provider of embeddings that answers the largest batch at once: the mock API takes minutes for it.

`python -m scripts.chaos.provider`, in a container with the packages of the image.
"""

import json
from base64 import b64encode
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from struct import pack

PORT = 9000
# As long as OpenAI's.
VECTOR = b64encode(pack("<1536f", *(1 / (1 + place) for place in range(1536)))).decode()


@lru_cache
def answer_for(texts: int) -> bytes:
    items = (f'{{"index":{index},"embedding":"{VECTOR}"}}' for index in range(texts))
    return f'{{"data":[{",".join(items)}],"usage":{{"prompt_tokens":1}}}}'.encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(b"{}")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._send(answer_for(len(asked["input"])))

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002


class Server(ThreadingHTTPServer):
    request_queue_size = 1_000  # 5 by default, and the service opens a hundred connections at once


if __name__ == "__main__":
    Server(("", PORT), Handler).serve_forever()
