import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import ProblemResponse, describe, stopped


class ErrorBoundary:
    """Last-resort handler: logs an unexpected exception once and answers with a generic 500.

    And for requests that a stopping service cannot wait for any longer.
    """

    def __init__(self, app: ASGIApp, *, debug: bool = False) -> None:
        self._app = app
        self._debug = debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:  # or the server would answer, with a 500 in plain text
            if not started:
                await ProblemResponse(stopped())(scope, receive, send)
            raise
        except Exception as error:  # noqa: BLE001 - the process's outermost handler
            problem = describe(error, debug=self._debug)
            if not started:  # otherwise the server hangs up on the half answer
                await ProblemResponse(problem)(scope, receive, send)
