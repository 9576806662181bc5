"""Prompts in files: a TOML file has the messages of a prompt, its name, its version and parameters.

A prompt lies beside the code that renders it, in a directory `prompts/`. It is read when that code is
imported, so a file with an error stops the start, and the reloader of the development server serves
a saved change. `{name}` in a message is a variable. The variables in the text, those that the file
lists, and those that the code renders have to be the same.
"""

import re
import tomllib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.llm.types import ChatRequest, Message, PromptVersion
from app.validation import lines

# Braces of JSON in a message are text: a quote or a space follows them.
_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class PromptError(ValueError):
    """A prompt's file cannot be used. The message names the file and the reason."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Text(_Strict):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _File(_Strict):
    name: str
    version: int = Field(ge=1)
    variables: list[str]
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    messages: list[_Text] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that is ready to be rendered. A parameter that is `None` is the provider's setting."""

    id: PromptVersion
    variables: frozenset[str]
    request: ChatRequest


def read_prompt(path: Path, *variables: str) -> Prompt:
    """Read a file that has exactly these variables. Raises `PromptError`."""
    file = _parsed(path)
    if file.name != path.stem:
        raise PromptError(path, f"name: must be {path.stem!r}, as the file is called")
    used = {name for text in file.messages for name in _VARIABLE.findall(text.content)}
    _compare(path, used, {*file.variables}, "`variables` of the file")
    _compare(path, used, {*variables}, "the code that renders it")
    prompt = PromptVersion(name=file.name, version=file.version)
    request = ChatRequest(
        tuple(Message(text.role, text.content) for text in file.messages),
        temperature=file.temperature,
        top_p=file.top_p,
        max_tokens=file.max_tokens,
        prompt=prompt,
    )
    return Prompt(prompt, frozenset(used), request)


def render(prompt: Prompt, *, tenant: str | None = None, **values: str) -> ChatRequest:
    """The request to a model. A variable inside a value is text: values are not rendered again."""
    if values.keys() != prompt.variables:
        expected = ", ".join(sorted(prompt.variables)) or "none"
        raise TypeError(f"the prompt {prompt.id.name} has these variables: {expected}")
    messages = tuple(
        Message(message.role, _VARIABLE.sub(partial(_value, values), message.text))
        for message in prompt.request.messages
    )
    return replace(prompt.request, messages=messages, tenant=tenant)


def _value(values: dict[str, str], variable: re.Match[str]) -> str:
    return values[variable[1]]


def _parsed(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PromptError(path, f"cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise PromptError(path, "; ".join(lines(error))) from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise PromptError(path, f"is not TOML: {error}") from None


def _compare(path: Path, used: AbstractSet[str], known: AbstractSet[str], where: str) -> None:
    for name in sorted(used - known):
        raise PromptError(path, f"the variable {{{name}}} in a message is not in {where}")
    for name in sorted(known - used):
        raise PromptError(path, f"no message has the variable {{{name}}}, which is in {where}")
