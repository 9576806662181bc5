import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, SecretStr, StringConstraints, ValidationInfo

from app.llm.tools.policy import ToolPolicy
from app.project import project_name
from app.rag.postgres_address import MISSING, is_installed, is_tls_decided, validate_postgres_url
from app.validation import raise_each

StoreName = Literal["memory", "redis", "postgres"]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]

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
    `store` keeps their vectors: the memory of each process, or a Redis or Postgres for all. With
    `postgres`, the services and environments of one database have different values of
    `postgres_prefix`, and a call waits `postgres_timeout_s` for a connection and as long for an answer. With `memory`,
    `index_path` is a file that keeps their vectors between starts; without it, each process
    computes them at its first question. `min_score` is the cosine below which a chunk is not
    relevant to a question. It depends on the embedding model.

    With `search_tool` the model may search again. The fields after it are the bounds: the rounds of
    searches, their time, and the cost of the answers before the last one.
    """

    store: StoreName = "memory"
    dir: Annotated[Path, AfterValidator(_readable)] | None = None
    postgres_url: Annotated[SecretStr, AfterValidator(validate_postgres_url)] | None = None
    postgres_prefix: Name | None = None
    postgres_pool_size: Annotated[int, Ge(2), Le(100)] = 10
    postgres_timeout_s: Annotated[float, Ge(0.1), Le(60)] = 2.0
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
        """Fill in the defaults of an environment.

        In dev, a policy without a `dir` gets the service's own docs, which are for developers.
        """
        is_own = self.dir is None and app_env == "dev"
        return replace(
            self,
            dir=OWN_DOCS if is_own else self.dir,
            postgres_prefix=self.postgres_prefix or f"{project_name()}:{app_env}",
        )


def _validate_store(policy: DocumentsPolicy, info: ValidationInfo) -> DocumentsPolicy:
    if policy.store == "memory":
        raise_each(_wrong_with_memory(policy, info.data.get("app_env", "dev")))
        return policy
    if policy.store == "redis" and info.data.get("redis_url", "invalid") is None:
        raise_each({("store",): "redis needs REDIS_URL"})
    if policy.store == "postgres":
        raise_each(_wrong_with_postgres(policy, info.data.get("app_env", "dev")))
    if policy.index_path is not None:
        why = f"must be empty with DOCUMENTS_STORE={policy.store}, which keeps the index"
        raise_each({("index_path",): why})
    return policy


def _wrong_with_memory(policy: DocumentsPolicy, app_env: str) -> dict[tuple[str, ...], str]:
    if find_spec("numpy") is not None or policy.of(app_env).dir is None:
        return {}
    why = (
        "memory needs NumPy, of the extra memory: make lock STORE=memory, and install or build "
        "again; or keep the documents in redis or postgres"
    )
    return {("store",): why}


def _wrong_with_postgres(policy: DocumentsPolicy, app_env: str) -> dict[tuple[str, ...], str]:
    if not is_installed():
        return {("store",): MISSING}
    if policy.postgres_url is None:
        return {("store",): "postgres needs DOCUMENTS_POSTGRES_URL"}
    if app_env != "dev" and not is_tls_decided(policy.postgres_url):
        return {
            ("postgres_url",): f"must have an sslmode in {app_env}: verify-full, or disable if the "
            "network between the service and Postgres is private"
        }
    return {}


# The policy as a field of the settings: the stores depend on other fields.
DocumentsSettings = Annotated[DocumentsPolicy, AfterValidator(_validate_store)]
