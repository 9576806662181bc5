from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le
from pydantic import AfterValidator

# The service's own: docs/ beside src/, in the repository as in the image.
OWN_DOCS = Path(__file__).parents[3] / "docs"


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError("there is no such folder")
    return path


def _in_folder(path: Path) -> Path:
    _folder(path.absolute().parent)
    return path


@dataclass(frozen=True, slots=True)
class DocumentsPolicy:
    """Which documents are asked about, and how much of them a model is shown.

    `index_path` is the file that keeps their vectors from one start to the next; without one, each
    process computes them at its first question. `min_score` is the cosine below which a piece has
    nothing to do with a question: it depends on the embedding model.
    """

    dir: Annotated[Path, AfterValidator(_folder)] | None = None
    index_path: Annotated[Path, AfterValidator(_in_folder)] | None = None
    chunk_chars: Annotated[int, Ge(200), Le(20_000)] = 1200
    top_k: Annotated[int, Ge(1), Le(50)] = 5
    min_score: Annotated[float, Ge(-1), Le(1)] = 0.2
    context_chars: Annotated[int, Ge(500), Le(1_000_000)] = 12_000

    @property
    def folder(self) -> Path:
        return self.dir or OWN_DOCS
