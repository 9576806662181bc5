from dataclasses import dataclass

_VERDICTS = {True: "kept", False: "BROKEN", None: "not tested"}


@dataclass(frozen=True)
class Row:
    """A line of the table: the attack, the limit, and the measured value beside it.

    `is_kept` is None if the attack could not test the limit on this machine.
    """

    sent: str
    limit: str
    measured: str
    is_kept: bool | None

    def line(self, group: str) -> str:
        verdict = _VERDICTS[self.is_kept]
        return f"{group:<9} {self.sent:<58} {self.limit:<38} {self.measured:<50} {verdict}"


HEADER = f"{'row':<9} {'sent':<58} {'limit':<38} {'measured':<50} verdict"


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
