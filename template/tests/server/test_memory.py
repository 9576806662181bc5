"""The memory of the process at the most that callers may send at once: the manifest's limit is 512 MB."""

import asyncio
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from struct import pack

import aiohttp
import pytest
from aiohttp import web

from app.features.embeddings.router import MAX_TEXTS
from tests.server.test_overload import started
from tests.test_main import PATIENCE_S, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(4 * PATIENCE_S),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="the peak is read from /proc"),
]

BATCHES = 8
LIMIT_MB = 512
TEXTS = [f"text {number}" for number in range(MAX_TEXTS)]
# As long as OpenAI's. The mock API would take minutes for all of them.
VECTOR = b64encode(pack("<1536f", *(1 / (1 + place) for place in range(1536)))).decode()


@lru_cache
def answer_for(number: int) -> bytes:
    items = (f'{{"index":{index},"embedding":"{VECTOR}"}}' for index in range(number))
    return f'{{"data":[{",".join(items)}],"usage":{{"prompt_tokens":1}}}}'.encode()


async def embeddings(request: web.Request) -> web.Response:
    asked = await request.json()
    return web.Response(body=answer_for(len(asked["input"])), content_type="application/json")


async def embed_at_once(http: aiohttp.ClientSession) -> Counter[int]:
    """How many of the batches got each status. A caller reads its answer and keeps nothing."""

    async def embed() -> int:
        async with http.post("/v1/embeddings", json={"texts": TEXTS}) as answer:
            async for _ in answer.content.iter_any():
                pass
            return answer.status

    return Counter(await asyncio.gather(*(embed() for _ in range(BATCHES))))


def peak_mb(pid: int) -> int:
    """The most memory that the process has ever had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) // 1024


async def test_eight_of_the_largest_batches_at_once_stay_below_the_limit_of_the_manifest(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    mock_port, port = unused_tcp_port_factory(), unused_tcp_port_factory()
    provider = web.Application(client_max_size=2**30)
    provider.router.add_post("/v1/embeddings", embeddings)
    runner = web.AppRunner(provider)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", mock_port).start()
    address = f"http://127.0.0.1:{mock_port}/v1"
    with running(
        PORT=str(port),
        OPENAI_BASE_URL=address,
        RATE_LIMIT_REQUESTS_PER_MINUTE="1000000",
        LOG_LEVEL="ERROR",  # the log of the process is not read
    ) as process:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            await started(http)
            statuses = await embed_at_once(http)
        peak = peak_mb(process.pid)
    await runner.cleanup()
    assert statuses[200] >= 1
    assert set(statuses) <= {200, 503}
    assert peak < LIMIT_MB
