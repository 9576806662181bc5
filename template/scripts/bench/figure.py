from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured value. With a `limit`, the value must stay below it."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def is_kept(self) -> bool:
        return self.limit is None or self.value < self.limit

    def row(self) -> str:
        goal = "" if self.limit is None else f"   < {self.limit:g} {self.unit}"
        verdict = "" if self.is_kept else "   MISSED"
        return f"{self.name:<52} {self.value:>9.2f} {self.unit:<3}{goal}{verdict}"
