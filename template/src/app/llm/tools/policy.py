from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """The bounds of a tool loop. When one is reached, the model is asked once more, without tools.

    A round is an answer that calls tools, and the results. `max_time_s` ends running tools; a call
    to the model is not cut off, because it is paid for and its guards have their own deadline.
    `max_cost_usd` is compared with the known cost of the answers so far. `timeout_s` is the time of
    one tool call, and `result_chars` the length of its result; a tool may have its own values.
    """

    max_rounds: Annotated[int, Ge(1), Le(50)] = 4
    max_time_s: Annotated[float, Gt(0), Le(3600)] = 60.0
    max_cost_usd: Annotated[float, Gt(0)] | None = None
    max_calls: Annotated[int, Ge(1), Le(128)] = 16  # of one round
    concurrency: Annotated[int, Ge(1), Le(128)] = 4
    timeout_s: Annotated[float, Gt(0), Le(3600)] = 20.0
    result_chars: Annotated[int, Ge(100), Le(1_000_000)] = 20_000


DEFAULT_POLICY = ToolPolicy()
