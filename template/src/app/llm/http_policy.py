"""The limits of calls to providers, as the settings have them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import httpx2 as httpx
from annotated_types import Ge, Gt, Le

from app.llm.pace import StreamLimits
from app.llm.transports.pool import PoolPolicy, TransportName
from app.resilience.bulkhead import QueuePolicy


@dataclass(frozen=True, slots=True)
class HTTPPolicy:
    """Limits of every call to a provider.

    A total deadline, because a server that sends one byte a second never trips a read timeout.
    A stream's first chunk may have a limit of its own, because a model may think before it speaks;
    `None`: the same as between two chunks. `stream_silence_timeout_s` is the time without text, tool
    arguments or thinking, whatever else arrives; `stream_open_timeout_s` the time to the first of these.
    """

    request_timeout_s: Annotated[float, Gt(0), Le(600)] = 60.0
    stream_chunk_timeout_s: Annotated[float, Gt(0), Le(600)] = 30.0
    stream_first_chunk_timeout_s: Annotated[float, Gt(0), Le(600)] | None = None
    stream_silence_timeout_s: Annotated[float, Gt(0), Le(3600)] = 120.0
    stream_open_timeout_s: float = math.inf
    max_concurrency: Annotated[int, Ge(1), Le(10_000)] = 100
    max_response_bytes: int = 16 * 1024 * 1024
    # The longest answers have 128,000 tokens, and each arrives in some 350 bytes of JSON.
    max_stream_bytes: int = 128 * 1024 * 1024
    max_stream_s: float = 3600.0
    # The upload or the download of a file of 200 MB, as batches have them.
    transfer_timeout_s: float = 600.0
    # A connection takes one round trip, or the host is not there.
    connect_timeout_s: float = 5.0
    # The body of an error was ready before its status was sent: what is not there by now never
    # comes. Its only use is the reason in our message.
    error_body_timeout_s: float = 2.0
    # The calls that wait while `max_concurrency` others to their provider run, and the weights of
    # the clients among them, by name.
    queue: QueuePolicy = field(default_factory=QueuePolicy)
    weights: Mapping[str, int] = field(default_factory=dict)
    # The library that makes the connections: docs/performance.md compares them.
    transport: TransportName = "aiohttp"

    @property
    def first_chunk_timeout_s(self) -> float:
        return self.stream_first_chunk_timeout_s or self.stream_chunk_timeout_s

    @property
    def stream(self) -> StreamLimits:
        return StreamLimits(
            first_chunk_s=self.first_chunk_timeout_s,
            chunk_s=self.stream_chunk_timeout_s,
            silence_s=self.stream_silence_timeout_s,
            open_s=self.stream_open_timeout_s,
            whole_s=self.max_stream_s,
        )

    @property
    def timeout(self) -> httpx.Timeout:
        """Reading is limited by deadlines around it: a per-read timeout is no limit at all."""
        return httpx.Timeout(None, connect=self.connect_timeout_s, pool=self.queue.timeout_s)

    def pool(self, size: int) -> PoolPolicy:
        return PoolPolicy(size, self.connect_timeout_s, self.queue.timeout_s)
