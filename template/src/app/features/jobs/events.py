"""The events of a job: its progress until it ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from app.api.events import Event, as_json, described
from app.features.jobs.bodies import Job
from app.features.jobs.store import JobStore, JobsUnavailableError, Progress

PROGRESS = Event("progress", Job, as_json)
END = Event("end", Job, as_json)

EVENT_STREAM = {
    "description": "Server-sent events: a `progress` event now and after each change, then one "
    "`end` event. Each has the whole state, so a client that connects again has missed nothing.",
    "content": {
        "text/event-stream": {
            **described(PROGRESS, END),
            "example": 'event: progress\ndata: {"id":"…"}\n\nevent: end\ndata: {"id":"…"}\n\n',
        }
    },
}


async def frames(
    store: JobStore, progress: Progress, *, poll_s: float
) -> AsyncGenerator[bytes, None]:
    """Look for changes every `poll_s`. The stream of a job that expires ends without `end`."""
    shown = None
    current: Progress | None = progress
    while current is not None and not current.has_ended:
        if current != shown:
            yield PROGRESS.frame(Job.of(current, store.runs_in))
            shown = current
        await asyncio.sleep(poll_s)
        with suppress(JobsUnavailableError):
            current = await store.progress(progress.spec.id)
    if current is not None:
        yield END.frame(Job.of(current, store.runs_in))
