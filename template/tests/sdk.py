"""The vendors' own clients, `sdk.openai` and `sdk.anthropic`, imported at their first use.

Both imports take two to three seconds, which other tests should not wait for.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import anthropic as anthropic  # noqa: PLC0414 - the explicit form of a re-export
    import openai as openai  # noqa: PLC0414
else:

    def __getattr__(name: str) -> ModuleType:
        if name in {"anthropic", "openai"}:
            return import_module(name)
        raise AttributeError(name)
