"""Plays an incident in simulated time: the load of the clients, and the events at their moments."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson

from app.testing import captured_logs
from mock_api.faults import Fault
from scripts.lab import clock
from scripts.lab.incident import Event, Incident, Load, Pledge
from scripts.lab.measures import MEASURES, window
from scripts.lab.recording import Asked, Recording
from scripts.lab.stack import Lab, key_of, running


@dataclass(frozen=True, slots=True)
class Verdict:
    pledge: Pledge
    value: float

    @property
    def is_kept(self) -> bool:
        return self.pledge.is_kept_by(self.value)


def play(incident: Incident) -> Recording:
    recording, lines = play_logged(incident)
    recording.events = dict(Counter(line["event"] for line in lines))
    return recording


def play_logged(incident: Incident) -> tuple[Recording, list[dict[str, Any]]]:
    """The play, and the lines of the log. The jitter is the same each time, and so is the end."""
    state = random.getstate()
    random.seed(incident.title)
    try:
        with captured_logs("INFO") as logs:
            recording = clock.run(lambda: _play(incident))
    finally:
        random.setstate(state)
    return recording, logs.lines


def verdicts(incident: Incident, recording: Recording) -> list[Verdict]:
    return [Verdict(pledge, _measured(pledge, recording)) for pledge in incident.pledges]


def _measured(pledge: Pledge, recording: Recording) -> float:
    seen = window(recording, pledge.from_s, pledge.to_s, pledge.provider, pledge.client)
    return MEASURES[pledge.measure].of(seen)


async def _play(incident: Incident) -> Recording:
    async with running(incident) as lab:
        await perform(lab, incident)
        return lab.recording


async def perform(lab: Lab, incident: Incident) -> None:
    """Let the incident happen to a running service. Its time begins with `lab`."""
    await set_faults(lab, incident, [])
    async with asyncio.TaskGroup() as group:
        for event in incident.events:
            group.create_task(_happen(lab, incident, event))
        for load in incident.load:
            group.create_task(_send_all(lab, load, incident.patience_s))
    lab.recording.asked.sort(key=lambda each: each.sent_s)


async def _happen(lab: Lab, incident: Incident, event: Event) -> None:
    await asyncio.sleep(event.at_s)
    if event.faults is not None:
        await set_faults(lab, incident, event.faults)
    if event.redis is not None:
        lab.redis.is_gone = event.redis == "gone"


async def set_faults(lab: Lab, incident: Incident, faults: list[Fault]) -> None:
    """A request without one of the faults takes the usual time."""
    usual = Fault(latency_ms=incident.answer_s * 1000)
    body = [fault.model_dump(exclude_unset=True) for fault in (*faults, usual)]
    (await lab.control.put("/_mock/faults", json=body)).raise_for_status()


async def _send_all(lab: Lab, load: Load, patience_s: float) -> None:
    await asyncio.sleep(load.from_s)
    async with asyncio.TaskGroup() as group:
        for number in range(round(load.per_second * load.for_s)):
            group.create_task(_ask(lab, load, number, patience_s))
            await asyncio.sleep(1 / load.per_second)


async def _ask(lab: Lab, load: Load, number: int, patience_s: float) -> None:
    asked = Asked(load.client or "", lab.elapsed_s)
    lab.recording.asked.append(asked)
    question = "the same" if load.is_same_question else f"{load.client} {number}"
    body = {"messages": [{"role": "user", "content": question}], "stream": load.stream}
    headers = {"Authorization": f"Bearer {key_of(load.client)}"} if load.client else {}
    with suppress(httpx2.TransportError, TimeoutError):
        async with (
            asyncio.timeout(patience_s),
            lab.client.stream("POST", "/v1/chat", json=body, headers=headers) as answer,
        ):
            asked.status = answer.status_code
            asked.has_retry_after = "retry-after" in answer.headers
            await _read(asked, answer)
    asked.ended_s = lab.elapsed_s


async def _read(asked: Asked, answer: httpx2.Response) -> None:
    if answer.status_code != httpx2.codes.OK:
        await answer.aread()
        asked.ending = "refused"
    elif "event-stream" in answer.headers["content-type"]:
        async for name, data in _events(answer):
            _note(asked, name, data)
    else:
        _note(asked, "done", await answer.aread())


def _note(asked: Asked, event: str, data: str | bytes) -> None:
    if event == "done":
        asked.ending, asked.provider = "whole", orjson.loads(data)["provider"]
    elif event == "error":
        asked.ending = "broken"


async def _events(answer: httpx2.Response) -> AsyncIterator[tuple[str, str]]:
    name = ""
    async for line in answer.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, value
