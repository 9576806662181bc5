"""Which tests run on the same worker: those of a module whose fixture is a whole service.

pytest-xdist's own groups (`xdist_group`) hang on an attribute that pytest 9.2 no longer reads.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ONE_SERVICE = ("tests/test_output.py", "tests/test_containers.py", "tests/test_judge.py")


class ByService(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module in ONE_SERVICE else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByService:
    return ByService(config, log)
