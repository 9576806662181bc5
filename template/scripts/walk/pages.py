"""Shows walks as text for a terminal, and as the page `docs/one-request.md`."""

from scripts.walk.recorder import Step, Walk
from scripts.walk.ways import WAYS

PAGE = "docs/one-request.md"
FIRST = "plain"

_HEAD = f"""# The way of one request

<!-- Written by `make walk PAGE={PAGE}`; a test compares it with the code. -->

`make walk` sends `POST /v1/chat` through the service with the default settings, in one process and with the mock API as the providers.
It prints the files of `src/app/` that the request passes, in order; `make walk WAY=retried` shows one way. A row is the first awaited
function of a file, and a guard or a provider has a row for each attempt. Rows with *log* are lines of the log.
"""


def as_text(walks: dict[str, Walk]) -> str:
    files = max(len(file) for walk in walks.values() for file in walk.files)
    names = max(len(step.name) for walk in walks.values() for step in walk.steps)

    def line(number: int, step: Step) -> str:
        return f"{number:>3}  {step.file or 'log':<{files}}  {step.name:<{names}}  {step.purpose}"

    parts = []
    for name, walk in walks.items():
        shared = _shared(name, walks)
        lines = [line(number, step) for number, step in _numbered(walk)[shared:]]
        same = [f"     steps 1 to {shared}: as in {FIRST}"] if shared else []
        parts.append("\n".join([f"{name}: {WAYS[name].title}", *same, *lines]))
    return "\n\n".join(parts)


def as_page(walks: dict[str, Walk]) -> str:
    parts = [_HEAD]
    for name, walk in walks.items():
        shared = _shared(name, walks)
        same = f" Steps 1 to {shared} are the same as in `{FIRST}`." if shared else ""
        rows = [_row(number, step) for number, step in _numbered(walk)[shared:]]
        head = ["| | file | function | purpose |", "|---|---|---|---|"]
        parts.append("\n".join([f"## {name}\n\n{WAYS[name].title}.{same}\n", *head, *rows, ""]))
    return "\n".join(parts)


def _numbered(walk: Walk) -> list[tuple[int, Step]]:
    return list(enumerate(walk.steps, start=1))


def _shared(name: str, walks: dict[str, Walk]) -> int:
    """The number of steps at the beginning that are the same as those of the first way."""
    if name == FIRST or FIRST not in walks:
        return 0
    pairs = zip(walks[name].steps, walks[FIRST].steps, strict=False)
    return next((count for count, (step, first) in enumerate(pairs) if step != first), 0)


def _row(number: int, step: Step) -> str:
    place = f"[{step.file}](../src/app/{step.file})" if step.file else "*log*"
    return f"| {number} | {place} | `{step.name}` | {step.purpose} |"
