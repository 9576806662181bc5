"""Modules of the service's own tests, for tests of the template: both projects have a package `tests`."""

import importlib.util
from types import ModuleType

from tests.engines import REPOSITORY


def service_module(name: str) -> ModuleType:
    """Load `template/tests/<name>.py`."""
    path = REPOSITORY / f"template/tests/{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
