"""The parts of jobs with the mode `batch` in the memory of this process."""

from collections.abc import Callable
from math import inf

from app.features.jobs.store import Delivery
from app.llm.batch_store import Submission


class MemoryParts:
    """A `PartQueue`. The process that claims a part is the only one, so a claim needs no lease."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[Delivery, float] = {}
        self._sent: dict[str, dict[str, Submission]] = {}

    def __len__(self) -> int:
        return len(self._due)

    def add(self, part: Delivery) -> None:
        self._due[part] = 0.0

    async def claim(self) -> Delivery | None:
        now = self._clock()
        part = min(self._due, key=self._due.__getitem__, default=None)
        if part is None or self._due[part] > now:
            return None
        self._due[part] = inf
        return part

    async def hold(self, part: Delivery) -> bool:
        return part in self._due

    async def later(self, part: Delivery, delay_s: float) -> None:
        self._due[part] = self._clock() + delay_s

    async def finish(self, part: Delivery) -> None:
        del self._due[part]
        self._sent.pop(part.id, None)

    async def sent(self, part: Delivery) -> list[Submission]:
        return [*self._sent.get(part.id, {}).values()]

    async def save(self, part: Delivery, submission: Submission) -> None:
        self._sent.setdefault(part.id, {})[submission.key] = submission
