"""`/_mock/…`: set faults and the pace of batches, choose a dialect, list received requests. No provider has these."""

import orjson
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mock_api.batches import Pace, Paces
from mock_api.faults import Fault, Faults
from mock_api.oddities import ODDITIES, Chosen, Spoken
from mock_api.recorder import Recorder

_FAULTS = TypeAdapter(list[Fault])


class Control:
    def __init__(self, faults: Faults, recorder: Recorder, spoken: Spoken, paces: Paces) -> None:
        self._faults = faults
        self._recorder = recorder
        self._spoken = spoken
        self._paces = paces

    def routes(self) -> list[Route]:
        return [
            Route("/_mock/faults", self.list_faults, methods=["GET"]),
            Route("/_mock/faults", self.set_faults, methods=["PUT"]),
            Route("/_mock/faults", self.clear_faults, methods=["DELETE"]),
            Route("/_mock/dialect", self.list_dialects, methods=["GET"]),
            Route("/_mock/dialect", self.choose_dialect, methods=["PUT"]),
            Route("/_mock/dialect", self.clear_dialect, methods=["DELETE"]),
            Route("/_mock/batches", self.show_pace, methods=["GET"]),
            Route("/_mock/batches", self.set_pace, methods=["PUT"]),
            Route("/_mock/batches", self.reset_pace, methods=["DELETE"]),
            Route("/_mock/requests", self.list_requests, methods=["GET"]),
            Route("/_mock/requests", self.clear_requests, methods=["DELETE"]),
        ]

    async def list_faults(self, _: Request) -> Response:
        return JSONResponse(self._faults.listed())

    async def set_faults(self, request: Request) -> Response:
        try:
            given = orjson.loads(await request.body())
        except orjson.JSONDecodeError as error:
            return _refused({"": f"not JSON: {error}"})
        try:
            faults = _FAULTS.validate_python(given if isinstance(given, list) else [given])
        except ValidationError as error:
            return _refused(_by_field(error, listed=isinstance(given, list)))
        self._faults.replace(faults)
        return await self.list_faults(request)

    async def clear_faults(self, request: Request) -> Response:
        self._faults.replace([])
        return await self.list_faults(request)

    async def list_dialects(self, _: Request) -> Response:
        return JSONResponse({"name": self._spoken.name, "names": [*ODDITIES]})

    async def choose_dialect(self, request: Request) -> Response:
        try:
            self._spoken.name = Chosen.model_validate_json(await request.body()).name
        except ValidationError as error:
            return _refused(_flat(error))
        return await self.list_dialects(request)

    async def clear_dialect(self, request: Request) -> Response:
        self._spoken.name = None
        return await self.list_dialects(request)

    async def show_pace(self, _: Request) -> Response:
        return JSONResponse(self._paces.current.model_dump())

    async def set_pace(self, request: Request) -> Response:
        """The pace of the batches that are created from now on."""
        try:
            self._paces.current = Pace.model_validate_json(await request.body())
        except ValidationError as error:
            return _refused(_flat(error))
        return await self.show_pace(request)

    async def reset_pace(self, request: Request) -> Response:
        self._paces.current = Pace()
        return await self.show_pace(request)

    async def list_requests(self, request: Request) -> Response:
        limit = request.query_params.get("limit", "1000")
        if not (limit.isascii() and limit.isdigit() and int(limit) > 0):
            return _refused({"limit": "must be a positive whole number"})
        path = request.query_params.get("path", "/")
        return JSONResponse(self._recorder.listed(path, int(limit)))

    async def clear_requests(self, _: Request) -> Response:
        self._recorder.clear()
        return JSONResponse([])


def _flat(error: ValidationError) -> dict[str, str]:
    return {".".join(map(str, each["loc"])): each["msg"] for each in error.errors()}


def _by_field(error: ValidationError, *, listed: bool) -> dict[str, str]:
    """Messages by field: `rate`, or `1.rate` for the second fault of a list."""
    return {
        ".".join(str(part) for part in detail["loc"][0 if listed else 1 :][: 1 + listed]): detail[
            "msg"
        ]
        for detail in error.errors()
    }


def _refused(fields: dict[str, str]) -> Response:
    message = "; ".join(f"{name}: {why}" if name else why for name, why in fields.items())
    return JSONResponse({"error": {"message": message, "fields": fields}}, status_code=422)
