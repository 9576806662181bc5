"""Edits of a team to its service between two updates, and a check that they survive an update."""

from pathlib import Path

OWN_FILES = {
    "src/app/shop.py": '''"""What was ordered."""

from fastapi import APIRouter
from tabulate import tabulate

router = APIRouter(tags=["orders"])


@router.get("/v1/orders", summary="What was ordered?")
async def orders() -> dict[str, str]:
    """Answer with a table of the orders."""
    return {"orders": tabulate([["tea", "1"]])}
''',
    "tests/test_shop.py": """from app.shop import orders


async def test_tea_was_ordered() -> None:
    assert "tea" in (await orders())["orders"]
""",
}
# In each file: the end of the line that stays, and the line that is put after it. Beside a line that a release
# changes as well, any merge of three versions has a conflict.
OWN_LINES = {
    "src/app/main.py": [
        ("import Settings, load\n", "from app.shop import router as orders\n"),
        ("            _announce(settings, service)\n", "            app.include_router(orders)\n"),
    ],
    "pyproject.toml": [
        ('    "structlog>=26.1",\n', '    "tabulate>=0.9",\n'),
        ('    "pytest-timeout>=2.4",\n', '    "types-tabulate>=0.9",\n'),
    ],
    ".env.example": [("# RETRY_BASE_DELAY_S=0.4\n", "# Ours, because our provider is fast.\n")],
}
CHANGED = {
    "src/app/resilience/retry.py": ("Le(60)] = 0.5\n", "Le(60)] = 0.4\n"),
    ".env.example": ("# RETRY_BASE_DELAY_S=0.5\n", "# RETRY_BASE_DELAY_S=0.4\n"),
}
# Later versions change it, and nothing names it.
DELETED_LEAF = "tests/api/test_request_id.py"


def edit(service: Path) -> None:
    for name, text in OWN_FILES.items():
        (service / name).write_text(text)
    for name, (old, new) in CHANGED.items():
        substitute(service / name, old, new)
    for name, lines in OWN_LINES.items():
        for before, own in lines:
            substitute(service / name, before, before + own)
    (service / DELETED_LEAF).unlink()


def substitute(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new))


def lost(service: Path) -> list[str]:
    """The edits that an update has undone."""
    kept = {name: [text] for name, text in OWN_FILES.items()}
    for name, lines in OWN_LINES.items():
        kept[name] = [own for _, own in lines]
    for name, (_, new) in CHANGED.items():
        kept.setdefault(name, []).append(new)
    gone = [
        f"{name}: {text}"
        for name, texts in kept.items()
        for text in texts
        if text not in (service / name).read_text()
    ]
    return gone + [DELETED_LEAF] * (service / DELETED_LEAF).exists()
