"""Why Redis cannot be used, in a word for the log."""

from collections.abc import Mapping

from redis import exceptions

_REASONS: Mapping[type[BaseException], str] = {
    exceptions.OutOfMemoryError: "full",
    exceptions.ReadOnlyError: "read-only",
    exceptions.BusyLoadingError: "loading",
    exceptions.AuthenticationError: "credentials refused",
    exceptions.NoPermissionError: "not permitted",
    exceptions.ResponseError: "command refused",
    exceptions.TimeoutError: "no answer in time",
    TimeoutError: "no answer in time",
    exceptions.ConnectionError: "no connection",
    OSError: "no connection",
    BaseException: "failed",
}


def reason(error: Exception) -> str:
    """The reason of the most specific class that has one."""
    return next(_REASONS[cls] for cls in type(error).__mro__ if cls in _REASONS)
