"""Snapshots of prompts: how a prompt is written down, and how a change of it is accepted."""

from collections.abc import Iterable

from app.llm.types import Message

ACCEPT = (
    "the prompt has changed: read the difference, and accept it with"
    ' make test NATIVE=1 ARGS="tests/features --snapshot-update --numprocesses 0"'
)


def written(messages: Iterable[Message]) -> str:
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in messages)
