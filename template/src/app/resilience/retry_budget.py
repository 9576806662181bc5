"""A bound on what retries may cost in all, where attempts per call only bound what one call costs.

When a provider is down, three attempts for each call are three times the load, on the day on which
it can bear the least. The idea is that of Finagle's `RetryBudget` and of gRPC's retry throttling
(gRFC A6): calls earn retries, retries spend them, and what is earned is capped.
"""


class RetryBudget:
    """Each call earns `ratio` of a retry; `reserve` is the balance at the start, and its cap.

    So n calls are followed by at most `reserve + ratio x n` retries, and a service that has been
    quiet still has its reserve. A ratio of 0 earns nothing: the reserve is all there ever is.
    """

    def __init__(self, ratio: float, reserve: float) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._balance = reserve

    def earn(self) -> None:
        """Note the first attempt of a call."""
        self._balance = min(self._reserve, self._balance + self._ratio)

    def spend(self) -> bool:
        """Pay for one retry, or say that there is nothing left to pay with."""
        if self._balance < 1:
            return False
        self._balance -= 1
        return True
