"""The text of an OpenAI message: a string, or a list of parts."""

from typing import Annotated

from pydantic import BeforeValidator
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.llm.providers.boundary import Given, Lax, is_empty

_TEXT_TYPES = {"text", "output_text"}


class Part(TypedDict, total=False):
    """Thinking, references and other parts are no text. Only their type is kept."""

    type: Lax[str]
    text: Given[str]
    refusal: Given[str]


def _parts(content: object) -> object:
    if isinstance(content, str) and content:
        return content
    if is_empty(content):
        return None
    if isinstance(content, dict):
        content = [content]
    return [_part(part) for part in content] if isinstance(content, list) else content


def _part(part: object) -> object:
    """Servers that leave the type out send text."""
    if part is None:
        return {}
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    if not isinstance(kind, str) or not kind:
        kind = "refusal" if part.get("refusal") else "text"
    if kind in _TEXT_TYPES:
        return {"type": "text", "text": part.get("text")}
    if kind == "refusal":
        return {"type": kind, "refusal": part.get("refusal")}
    return {"type": kind}


Content = Annotated[str | list[Part] | None, BeforeValidator(_parts)]


def text_of(content: str | list[Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.get("text") or "" for part in content)


def refusal_of(content: str | list[Part] | None) -> str:
    if not isinstance(content, list):
        return ""
    return "".join(part.get("refusal") or "" for part in content)
