"""An incident: the file that says what happens when, and what the service pledges."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mock_api.faults import Fault
from scripts.lab.measures import MEASURES

INCIDENTS = Path(__file__).parents[2] / "incidents"

Seconds = Annotated[float, Ge(0), Le(3600)]
Provider = Literal["openai", "anthropic"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Load(_Part):
    """Requests to `POST /v1/chat`, one after another in the same distance, by one client."""

    per_second: Annotated[float, Gt(0), Le(1000)]
    for_s: Annotated[float, Gt(0), Le(3600)]
    from_s: Seconds = 0
    client: str | None = None  # one of `CLIENT_KEYS`; its key is `ck_` and its name
    stream: bool = False
    is_same_question: bool = False


class Event(_Part):
    """A change at one moment. `faults` replace those of the mock API; an empty list ends them."""

    at_s: Seconds
    faults: list[Fault] | None = None
    redis: Literal["gone", "back"] | None = None

    @model_validator(mode="after")
    def _changes_one_thing(self) -> Self:
        if (self.faults is None) == (self.redis is None):
            raise ValueError("an event changes either faults or redis")
        return self


class Pledge(_Part):
    """A bound of a measure, over the requests that were sent from `from_s` to `to_s`."""

    measure: str
    at_most: float | None = None
    at_least: float | None = None
    from_s: Seconds = 0
    to_s: Seconds = 3600
    provider: Provider | None = None
    client: str | None = None

    @model_validator(mode="after")
    def _is_known_and_bounded(self) -> Self:
        if self.measure not in MEASURES:
            raise ValueError(f"measure is one of: {', '.join(MEASURES)}")
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("a pledge has either at_most or at_least")
        return self

    def is_kept_by(self, value: float) -> bool:
        if self.at_most is not None:
            return value <= self.at_most
        return value >= (self.at_least or 0)


class Incident(_Part):
    """`settings` has the names of environment variables; `answer_s` is the time of a good answer.

    A client that has no whole answer after `patience_s` disconnects.
    """

    title: str
    guard: str
    settings: dict[str, str | int | float] = {}
    answer_s: Seconds = 0.5
    patience_s: Seconds = 60
    load: Annotated[list[Load], Field(min_length=1)]
    events: list[Event] = []
    pledges: Annotated[list[Pledge], Field(min_length=1)]

    @property
    def uses_redis(self) -> bool:
        return any(event.redis for event in self.events)


def names() -> list[str]:
    return sorted(path.stem for path in INCIDENTS.glob("*.toml"))


def load(name: str) -> Incident:
    found: dict[str, Any] = tomllib.loads((INCIDENTS / f"{name}.toml").read_text("utf-8"))
    return Incident.model_validate(found)
