from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

# A body of the service has at most two megabytes and 20,000 JSON values.
MAX_ITEMS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsPolicy:
    """The bounds of jobs, and how workers share them.

    A job and its results expire `results_ttl_s` after its last progress. A client may have
    `max_per_client` jobs that have not ended. A process of workers has `concurrency` batches in
    progress: as many may be repeated when it is killed.

    If a worker has not reported for `lease_s`, its batch goes to another one; after
    `max_deliveries` the items of the batch fail. An item that a limit refuses, or an open circuit, waits for
    `max_wait_s` at most.

    A worker looks every `batch_poll_s` at each batch that a provider has, for jobs with the mode `batch`.
    """

    max_items: Annotated[int, Ge(1), Le(MAX_ITEMS)] = MAX_ITEMS
    max_per_client: Annotated[int, Ge(1), Le(10_000)] = 20
    results_ttl_s: Annotated[int, Ge(60), Le(2_592_000)] = 86_400
    concurrency: Annotated[int, Ge(1), Le(100)] = 1
    lease_s: Annotated[int, Ge(5), Le(3600)] = 30
    max_deliveries: Annotated[int, Ge(1), Le(100)] = 3
    max_wait_s: Annotated[int, Ge(0), Le(86_400)] = 600
    batch_poll_s: Annotated[int, Ge(1), Le(3600)] = 60
