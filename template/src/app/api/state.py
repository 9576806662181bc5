"""What the endpoints work with. `app.main` fills it once, at start."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.llm.grounded import Grounded
from app.llm.model import ChatModel
from app.llm.wrappers.batches import EmbeddingBatches
from app.resilience.health import Health
from app.telemetry.metrics import Metrics

Check = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class State:
    chat: ChatModel
    embeddings: EmbeddingBatches
    grounded: Grounded
    metrics: Metrics
    checks: Mapping[str, Check]  # what the service would rather have, by the name in `/readyz`
    providers: Mapping[str, Health]
    debug: bool = False


async def _state(request: Request) -> State:
    state: State = request.app.state.door
    return state


Door = Annotated[State, Depends(_state)]
