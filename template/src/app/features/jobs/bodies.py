"""The JSON bodies of the endpoints of jobs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import BaseModel, FailFast, Field, JsonValue, create_model

from app.api.inputs import RequestBody
from app.api.job_kinds import JobKind
from app.api.problems import Problem
from app.features.jobs.store import Mode, Progress, RunsIn, State

# The id of a job. No other text can name one, so that callers cannot choose keys of Redis.
ID_PATTERN = r"^job_[0-9a-f]{32}$"

_MODE = (
    "`direct`: workers call the model for each item. `batch`: the items go through the batch API of the "
    "first provider, at half the price and within a day; for `chat` and `extract`."
)

_EXAMPLES: dict[str, Any] = {
    "chat": [{"messages": [{"role": "user", "content": "Hello!"}]}],
    "extract": [{"text": "Invoice 7, Nut & Bolt Ltd. 100 bolts: 12 EUR."}],
    "embeddings": ["The Zugspitze", "A mountain in Bavaria"],
}


def body_of_any(kinds: Sequence[JobKind[Any]], max_items: int) -> Any:  # noqa: ANN401 - a type
    """The type of a new job: one model for each kind, told apart by the field `kind`."""
    models = [_body_of(kind, max_items) for kind in kinds]
    if len(models) == 1:
        return models[0]
    return Annotated[reduce(or_, models), Field(discriminator="kind")]


def _body_of(kind: JobKind[Any], max_items: int) -> type[RequestBody]:
    name = kind.name.capitalize()
    items: Any = Annotated[list[kind.schema], FailFast()]  # type: ignore[name-defined]
    described = Field(
        min_length=1,
        max_length=max_items,
        description="The inputs. Each has a result of its own.",
        examples=[_EXAMPLES.get(kind.name, [])],
    )
    named: Any = Literal[kind.name]
    mode: Any = Mode if kind.in_batches else Literal["direct"]
    return create_model(
        f"{name}Job",
        __base__=RequestBody,
        kind=(named, Field(description="What the items are.")),
        mode=(mode, Field(default="direct", description=_MODE)),
        items=(items, described),
    )


class Job(BaseModel):
    """How far a job is.

    `succeeded` and `failed` never decrease; a job that is `completed` has a result or an error for
    each item. `runs_in` is `process` if the service has no Redis: then the job ends with the process
    that accepted it.
    """

    id: str = Field(examples=["job_0123456789abcdef0123456789abcdef"])
    kind: str
    mode: Mode
    state: State
    total: int
    succeeded: int
    failed: int
    created_at: datetime
    runs_in: RunsIn

    @classmethod
    def of(cls, progress: Progress, runs_in: RunsIn) -> "Job":
        spec = progress.spec
        return cls(
            id=spec.id,
            kind=spec.kind,
            mode=spec.mode,
            state=progress.state,
            total=spec.total,
            succeeded=progress.succeeded,
            failed=progress.failed,
            created_at=datetime.fromtimestamp(spec.created_at, UTC),
            runs_in=runs_in,
        )


class JobItemResult(BaseModel):
    """The result of the item at `index`, or the reason why it has none."""

    index: int
    result: dict[str, JsonValue] | None = Field(
        description="As the endpoint of this kind answers; for embeddings `model` and `embedding`."
    )
    error: Problem | None


class JobPage(Job):
    """A job, and a page of its results in the order in which they were stored."""

    results: list[JobItemResult]
    next: int | None = Field(
        description="The value of `after` for the next page; null if all results have been read."
    )
