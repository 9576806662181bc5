"""The files of replays: incidents with the facts of the log that they were made from."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from scripts.lab.incident import INCIDENTS
from scripts.lab.replay.build import Replay

REPLAYS = INCIDENTS / "replays"


def load(path: Path) -> Replay:
    return Replay.model_validate(tomllib.loads(path.read_text("utf-8")))


def save(name: str, replay: Replay) -> Path:
    REPLAYS.mkdir(exist_ok=True)
    path = REPLAYS / f"{name}.toml"
    path.write_text("\n".join(_lines(replay)) + "\n", "utf-8")
    return path


def _lines(replay: Replay) -> Iterator[str]:
    content = replay.model_dump(exclude_unset=True)
    for name, value in content.items():
        if not isinstance(value, dict | list):
            yield f"{name} = {_value(value)}"
    for name, value in content.items():
        if isinstance(value, dict):
            yield from ("", f"[{name}]", *_pairs(value))
        elif isinstance(value, list):
            for each in value:
                yield from ("", f"[[{name}]]", *_pairs(each))


def _pairs(table: Mapping[str, object]) -> Iterator[str]:
    return (f"{name} = {_value(value)}" for name, value in table.items())


def _value(value: object) -> str:
    """TOML of a value. A string in JSON is one in TOML too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(_pairs(value)) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
