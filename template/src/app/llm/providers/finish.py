from collections.abc import Mapping

import structlog

from app.llm.types import FinishReason

_log = structlog.get_logger(__name__)


def finish_reason(reason: str, known: Mapping[str, FinishReason], provider: str) -> FinishReason:
    """A reason that nobody knows yet becomes "length".

    Of our words it is the one that does not promise a complete answer: such an answer, which was
    paid for, is passed on, but neither cached nor taken for whole.
    """
    ours = known.get(reason)
    if ours is None:
        _log.warning("llm.unknown_finish_reason", provider=provider, reason=reason[:80])
        return "length"
    return ours
