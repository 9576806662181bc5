"""What a guide (AGENTS.md, CONTRIBUTING.md) names: paths, commands and names in backticks."""

import re
from functools import cache
from pathlib import Path

_TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".mk", ".example", ".sh", ".json", ".ini", ""}
_LEFT_OUT = {"node_modules", "__pycache__", "mutants"}


def terms(text: str) -> list[str]:
    """The texts in backticks, without those that have a placeholder such as `<name>` or `…`."""
    found = re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    return [term for term in found if not re.search(r"<\w+>|…", term)]


def commands(text: str) -> list[str]:
    """All commands, also those in blocks with a prompt."""
    shown = re.findall(r"`(make [^`\n]+)`", text) + re.findall(r"^\$ (.+)$", text, re.MULTILINE)
    parts = [part for command in shown for part in command.split(" && ")]
    return [part for part in parts if part.startswith("make ")]


def missing_targets(root: Path, text: str, leaves: tuple[str, ...] = ()) -> list[str]:
    """Targets of `make` that no Makefile has."""
    files = [root / "Makefile", *root.glob("*/targets.mk")]
    known = set(re.findall(r"^([a-z-]+):", "\n".join(map(Path.read_text, files)), re.MULTILINE))
    named = [
        re.sub(r"\w+=(\"[^\"]*\"|\S*)|-C \S+", "", command).split()[1:]
        for command in commands(text)
    ]
    return [target for targets in named for target in targets if target not in {*known, *leaves}]


def missing_paths(root: Path, text: str) -> list[str]:
    """Paths, or ends of paths, that do not exist; and targets of links that do not exist."""
    places = [f"/{path.relative_to(root).as_posix()}" for path in files_of(root)]
    paths = [term for term in terms(text) if _is_path(term)]
    return [
        path
        for path in [*paths, *re.findall(r"\]\(([^)#]+)", text)]
        if not any(place.endswith(f"/{path.strip('/')}") for place in places)
    ]


def _is_path(term: str) -> bool:
    """Whether a term is a path of the project: no endpoint, no ending, nothing that Git ignores."""
    if not re.fullmatch(r"[\w./-]+", term) or ".venv" in term or term.startswith(("/", ".")):
        return False
    return "/" in term or term.endswith((".py", ".md", ".toml", ".mk"))


def missing_names(root: Path, text: str) -> list[str]:
    """Names in the code that stand nowhere in the project's files."""
    named = {name for term in terms(text) for name in re.findall(r"^@?(\w{3,})(?:\(|$)", term)}
    return sorted(named - _words(root))


@cache
def _words(root: Path) -> frozenset[str]:
    guides = {"AGENTS.md", "CONTRIBUTING.md", "CLAUDE.md"}
    read = [path for path in files_of(root) if path.is_file() and path.suffix in _TEXT]
    texts = [path.read_text(errors="ignore") for path in read if path.name not in guides]
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))


def files_of(root: Path) -> list[Path]:
    """Files and directories, without environments, caches and what Git keeps."""
    found: list[Path] = []
    for path in root.iterdir():
        if path.name in _LEFT_OUT or (path.name.startswith(".") and path.is_dir()):
            continue
        found.append(path)
        if path.is_dir():
            found += files_of(path)
    return found
