class Unreadable(Exception):
    """A place that settings come from cannot be read; without it the rest cannot be judged."""

    def __init__(self, variable: str, why: str) -> None:
        super().__init__(f"{variable}: {why}")


class Unreachable(Unreadable):
    """It may be readable in a minute: nobody answers, or only to say that it is overloaded."""
