"""A provider of batches, and a run over it, for tests."""

from collections.abc import Mapping
from itertools import count

from app.llm.batch import Outcome
from app.llm.batch_polling import BatchPolicy
from app.llm.batch_store import BatchStore, MemoryBatchStore
from app.llm.batches import Batches
from app.llm.price_files import parse_prices
from app.llm.types import LLMResponse
from app.testing import FakeClock
from tests.llm.fake_batches import FakeBatchAPI, request

PRICES = parse_prices(
    "as_of = 2026-11-29\n[batch]\nfake = 0.5\n"
    "[models.fake]\nm = { prompt = 1, completion = 10 }\n"
)


class Asker:
    """Asks by batches, as a process that can be started again with the same store."""

    def __init__(
        self, api: FakeBatchAPI, store: BatchStore | None = None, first_key: int = 1
    ) -> None:
        self.api = api
        self.store = store or MemoryBatchStore()
        self.clock = FakeClock()
        self.deliveries: list[Mapping[str, Outcome]] = []
        self._keys = count(first_key)

    def batches(self, policy: BatchPolicy | None = None) -> Batches:
        """A process's batches. No two processes have a key in common."""
        return Batches(
            self.api,
            self.store,
            policy=policy or BatchPolicy(first_pause_s=5, max_pause_s=60),
            prices=PRICES,
            sleep=self.clock.sleep,
            new_key=lambda: f"key{next(self._keys)}",
        )

    async def ask(self, *names: str, **questions: str) -> dict[str, Outcome]:
        asked = {name: request(f"{name}?") for name in names}
        asked |= {name: request(text) for name, text in questions.items()}
        got: dict[str, Outcome] = {}

        def deliver(outcomes: Mapping[str, Outcome]) -> None:
            assert not got.keys() & outcomes.keys()
            got.update(outcomes)
            self.deliveries.append(outcomes)

        await self.batches().run(asked, deliver)
        assert got.keys() == asked.keys()
        return got


def texts(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    return {
        name: each.content if isinstance(each, LLMResponse) else type(each).__name__
        for name, each in outcomes.items()
    }
