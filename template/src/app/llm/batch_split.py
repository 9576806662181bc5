"""Which requests go into which batch."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from app.llm.batch import BatchLimits, EncodedRequest

# The id, the method and the path around each request.
_ENVELOPE_BYTES = 200


def size_of(request: EncodedRequest) -> int:
    return len(request.body) + _ENVELOPE_BYTES


def split(
    requests: Mapping[str, EncodedRequest], limits: BatchLimits
) -> Iterator[dict[str, EncodedRequest]]:
    """Batches within the limits, in the order of the requests.

    A request that is too large for any batch is the caller's to refuse (`size_of`).
    """
    if not limits.one_model:
        yield from _filled(requests.items(), limits)
        return
    by_model = sorted(requests.items(), key=lambda item: item[1].model)
    for _, items in groupby(by_model, key=lambda item: item[1].model):
        yield from _filled(items, limits)


def _filled(
    items: Iterable[tuple[str, EncodedRequest]], limits: BatchLimits
) -> Iterator[dict[str, EncodedRequest]]:
    batch: dict[str, EncodedRequest] = {}
    used = 0
    for name, request in items:
        size = size_of(request)
        if batch and (len(batch) == limits.requests or used + size > limits.bytes):
            yield batch
            batch, used = {}, 0
        batch[name] = request
        used += size
    if batch:
        yield batch
