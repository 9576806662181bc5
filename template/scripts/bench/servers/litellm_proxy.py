"""LiteLLM's proxy, without keys, database and cache. It runs in LiteLLM's own environment."""

import json
import os
import tempfile
import time
from importlib import import_module
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MODEL = "gpt-5-mini"


def configure() -> None:
    """Write the file that the proxy reads at its start. JSON is YAML."""
    model = {
        "model": f"openai/{_MODEL}",
        "api_base": os.environ["OPENAI_BASE_URL"],
        "api_key": "bench",
    }
    path = Path(tempfile.mkdtemp(), "config.yaml")
    config = {"model_list": [{"model_name": _MODEL, "litellm_params": model}]}
    path.write_text(json.dumps(config))
    os.environ["CONFIG_FILE_PATH"] = str(path)
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it reads its prices from the network
    # Without a key it starts only with this.
    os.environ["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"


def asked_as_the_others(app: ASGIApp) -> ASGIApp:
    """The proxy at `/v1/chat`, for bodies without a model, and its CPU time at `/_cpu`."""

    async def renamed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif scope["path"] == "/_cpu":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"%.9f" % time.process_time()})
        else:
            message = await receive()
            body = b'{"model":"%s",' % _MODEL.encode() + message["body"].lstrip()[1:]
            await app(_of(scope, len(body)), _first({**message, "body": body}, receive), send)

    return renamed


def _of(scope: Scope, length: int) -> Scope:
    path = "/v1/chat/completions"
    headers = [header for header in scope["headers"] if header[0] != b"content-length"]
    headers.append((b"content-length", b"%d" % length))
    return {**scope, "path": path, "raw_path": path.encode(), "headers": headers}


def _first(message: Message, receive: Receive) -> Receive:
    unread = [message]

    async def next_message() -> Message:
        return unread.pop() if unread else await receive()

    return next_message


if __name__ == "__main__":
    configure()
    app = import_module("litellm.proxy.proxy_server").app
    port = int(os.environ["PORT"])
    uvicorn.run(asked_as_the_others(app), port=port, log_config=None, access_log=False)
