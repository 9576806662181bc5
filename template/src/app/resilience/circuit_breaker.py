"""A circuit breaker: who keeps failing is left alone for a while.

Michael Nygard's pattern (Release It!, 2007): closed while calls go well, open after too many
failures, half-open when it is time to find out. Half-open lets exactly one call through, the probe:
a service that is just coming back is not met by everybody who waited for it.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from annotated_types import Ge, Gt, Le

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to leave somebody alone, and for how long.

    After `failures` in a row, or when the share of failures among the last `window_calls` calls of
    the last `window_s` seconds reaches `failure_rate` (and there were at least `min_calls` of them:
    two of three is no rate). A rate of 1 needs nothing but failures in the window, which `failures`
    in a row is, unless it is larger than `min_calls`: with the defaults 1 switches the rule off.
    """

    failures: Annotated[int, Ge(1), Le(1000)] = 5
    reset_s: Annotated[float, Gt(0), Le(3600)] = 30.0
    failure_rate: Annotated[float, Gt(0), Le(1)] = 0.5
    window_calls: Annotated[int, Ge(1), Le(1000)] = 20
    window_s: Annotated[float, Gt(0), Le(3600)] = 60.0
    min_calls: Annotated[int, Ge(1), Le(1000)] = 10
