"""Which tests run on the same worker: those that wait for the same slow import.

pytest-xdist's own groups (`xdist_group`) hang on an attribute that pytest 9.2 no longer reads.
"""

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]  # xdist has no types
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # neither has this

SDK_JUDGES = "tests/mock_api/"
CLOUDS = ("tests/configuration/test_aws_secrets.py", "tests/configuration/test_google_secrets.py")


class ByImport(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Each test for itself, but one worker for those of the vendors' SDKs and one for a cloud's."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if "sdk" in nodeid or module.startswith(SDK_JUDGES):
            return "sdk"
        return nodeid if module == "tests/test_main.py" else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByImport:
    return ByImport(config, log)
