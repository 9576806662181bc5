import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, ValidationInfo

from app.llm.tools.policy import ToolPolicy
from app.validation import raise_each

StoreName = Literal["memory", "redis"]

# The docs of the service: docs/ is beside src/, in the repository and in the image.
OWN_DOCS = Path(__file__).parents[3] / "docs"


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError("the folder does not exist")
    return path


def _readable(path: Path) -> Path:
    try:
        os.scandir(_folder(path)).close()
    except OSError as error:
        raise ValueError(f"the folder cannot be read: {error.strerror}") from error
    return path


def _in_folder(path: Path) -> Path:
    _folder(path.absolute().parent)
    return path


@dataclass(frozen=True, slots=True)
class DocumentsPolicy:
    """The documents to search, and how many of their chunks a model receives.

    Without a `dir` there are no documents, except in dev: see `of`.
    `store` keeps their vectors: the memory of each process, or a Redis for all. With `memory`,
    `index_path` is a file that keeps their vectors between starts; without it, each process
    computes them at its first question. `min_score` is the cosine below which a chunk is not
    relevant to a question. It depends on the embedding model.

    With `search_tool` the model may search again. The fields after it are the bounds: the rounds of
    searches, their time, and the cost of the answers before the last one.
    """

    store: StoreName = "memory"
    dir: Annotated[Path, AfterValidator(_readable)] | None = None
    index_path: Annotated[Path, AfterValidator(_in_folder)] | None = None
    chunk_chars: Annotated[int, Ge(200), Le(20_000)] = 1200
    top_k: Annotated[int, Ge(1), Le(50)] = 5
    min_score: Annotated[float, Ge(-1), Le(1)] = 0.2
    context_chars: Annotated[int, Ge(500), Le(1_000_000)] = 12_000
    search_tool: bool = False
    search_max_rounds: Annotated[int, Ge(1), Le(50)] = 3
    search_max_time_s: Annotated[float, Gt(0), Le(3600)] = 30.0
    search_max_cost_usd: Annotated[float, Gt(0), Le(1000)] | None = None

    @property
    def search_bounds(self) -> ToolPolicy:
        return ToolPolicy(
            max_rounds=self.search_max_rounds,
            max_time_s=self.search_max_time_s,
            max_cost_usd=self.search_max_cost_usd,
        )

    def of(self, app_env: str) -> "DocumentsPolicy":
        """In dev, a policy without a `dir` gets the service's own docs, which are for developers."""
        return replace(self, dir=OWN_DOCS) if self.dir is None and app_env == "dev" else self


def _validate_store(policy: DocumentsPolicy, info: ValidationInfo) -> DocumentsPolicy:
    if policy.store == "memory":
        return policy
    if info.data.get("redis_url", "invalid") is None:
        raise_each({("store",): "redis needs REDIS_URL"})
    if policy.index_path is not None:
        raise_each(
            {("index_path",): "must be empty with DOCUMENTS_STORE=redis, which keeps the index"}
        )
    return policy


# The policy as a field of the settings: the store `redis` depends on another field.
DocumentsSettings = Annotated[DocumentsPolicy, AfterValidator(_validate_store)]
