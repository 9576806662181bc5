"""Which tests run first, and which on the same worker: those that use the same service or environment.

pytest-xdist's own groups (`xdist_group`) hang on an attribute that pytest 9.2 no longer reads.
"""

import re

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ONE_SERVICE = (
    "tests/test_output.py",
    "tests/test_chaos.py",
    "tests/test_containers.py",
    "tests/test_documents_elsewhere.py",
    "tests/test_judge.py",
    "tests/test_recipes.py",
    "tests/test_redis_forms.py",
    "tests/test_replicas.py",
    "tests/test_shared_limit.py",
)
# The answers of a group begin with the version.
ONE_PYTHON = re.compile(r"tests/test_every_answer\.py::test_services_are_green\[[\d.]+")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that may take the longest: as the last ones they would run alone."""
    items.sort(key=allowed_s, reverse=True)


def allowed_s(item: pytest.Item) -> float:
    limit = item.get_closest_marker("timeout")
    return float(limit.args[0]) if limit is not None else 0.0


class ByService(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if module in ONE_SERVICE:
            return module
        environment = ONE_PYTHON.match(nodeid)
        return environment[0] if environment else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByService:
    return ByService(config, log)
