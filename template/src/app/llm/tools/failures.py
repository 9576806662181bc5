"""The ways in which a tool call ends without a result. None of them leaves the loop.

The message of each is the result that the model gets in place of the tool's.
"""

from typing import ClassVar, Literal

from app.errors import LLMError
from app.telemetry.redaction import masked_text

Outcome = Literal[
    "ok", "error", "timed_out", "invalid_arguments", "unknown_tool", "not_run", "cancelled"
]

_MAX_CHARS = 300


class ToolCallError(Exception):
    """A tool call without a result. `outcome` is its label in the log and in metrics."""

    outcome: ClassVar[Outcome] = "error"

    @property
    def text(self) -> str:
        return f"Error: {self}"


class ToolFailedError(ToolCallError):
    """The function raised an exception: its class and its text, masked and cut."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        said = error.message if isinstance(error, LLMError) else str(error)
        parts = (type(error).__name__, masked_text(said)[:_MAX_CHARS])
        super().__init__(": ".join(filter(None, parts)))


class ToolTimeoutError(ToolCallError):
    """The call took longer than its bound."""

    outcome = "timed_out"

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"the tool did not answer within {timeout_s:g} seconds")


class InvalidArgumentsError(ToolCallError):
    """The arguments do not fit the signature. The message has no argument in it."""

    outcome = "invalid_arguments"

    @property
    def text(self) -> str:
        return f"Error: invalid arguments: {self}"


class UnknownToolError(ToolCallError):
    """The model named a tool that does not exist."""

    outcome = "unknown_tool"


class NotRunError(ToolCallError):
    """A bound of the loop is reached, so the tool was not called."""

    outcome = "not_run"
