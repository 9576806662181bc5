"""OpenAI's Files, as far as batches need them: upload, look, read, delete."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from time import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mock_api.call import call_of
from mock_api.frames import Json
from mock_api.openai.routes import authorize
from mock_api.refusal import RefusalError
from mock_api.reply import Lines, Whole

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_NAME = re.compile(r'\bname="([^"]*)"')
_FILE_NAME = re.compile(r'\bfilename="([^"]*)"')


@dataclass(frozen=True)
class Stored:
    id: str
    content: bytes
    filename: str
    purpose: str
    created_at: int

    @property
    def shown(self) -> Json:
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
        }


class Files:
    def __init__(self) -> None:
        self._stored: dict[str, Stored] = {}
        self._uploaded = 0

    def routes(self) -> list[Route]:
        return [
            Route("/v1/files", self.create, methods=["POST"]),
            Route("/v1/files/{name}", self.get, methods=["GET"]),
            Route("/v1/files/{name}", self.delete, methods=["DELETE"]),
            Route("/v1/files/{name}/content", self.read, methods=["GET"]),
        ]

    def content(self, name: str) -> bytes:
        return self._get(name).content

    def keep(self, name: str, lines: Iterable[bytes]) -> str | None:
        """Store a file of results, once. No lines, no file."""
        content = b"".join(line + b"\n" for line in lines)
        if content and name not in self._stored:
            filename = f"{name}.jsonl"
            self._stored[name] = Stored(name, content, filename, "batch_output", int(time()))
        return name if content else None

    async def create(self, request: Request) -> Response:
        authorize(request)
        call = call_of(request.scope)
        parts = _parts(call.body, request.headers.get("content-type", ""))
        purpose = parts.get("purpose", (b"", ""))[0].decode(errors="replace")
        if purpose != "batch":
            raise RefusalError(400, "the mock API has files for batches only", field=("purpose",))
        if "file" not in parts:
            raise RefusalError(400, "Field required", field=("file",))
        content, filename = parts["file"]
        self._uploaded += 1
        name = f"file-{call.digest}_{self._uploaded}"
        self._stored[name] = Stored(name, content, filename, purpose, int(time()))
        return Whole(self._stored[name].shown)

    async def get(self, request: Request) -> Response:
        authorize(request)
        return Whole(self._get(request.path_params["name"]).shown)

    async def read(self, request: Request) -> Response:
        authorize(request)
        return Lines(self._get(request.path_params["name"]).content.splitlines())

    async def delete(self, request: Request) -> Response:
        authorize(request)
        name = self._get(request.path_params["name"]).id
        del self._stored[name]
        return Whole({"id": name, "object": "file", "deleted": True})

    def _get(self, name: str) -> Stored:
        try:
            return self._stored[name]
        except KeyError:
            raise RefusalError(404, f"No such File object: {name}") from None


def _parts(body: bytes, content_type: str) -> dict[str, tuple[bytes, str]]:
    """The fields of a form by name: the content of each, and the name of its file."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise RefusalError(400, "The body must be multipart/form-data.")
    parts: dict[str, tuple[bytes, str]] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + found[1].encode()):
        head, separator, content = part.partition(b"\r\n\r\n")
        text = head.decode(errors="replace")
        if separator and (name := _NAME.search(text)):
            filename = _FILE_NAME.search(text)
            parts[name[1]] = (content, filename[1] if filename else "")
    return parts
