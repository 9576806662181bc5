"""The kinds of items: each feature with a module `job` offers one."""

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any

from app import features
from app.api.job_kinds import JobKind

Kinds = Mapping[str, JobKind[Any]]


def installed() -> Kinds:
    """Find the kinds, so that a project without an example endpoint has one kind less."""
    names = (f"{features.__name__}.{found.name}.job" for found in iter_modules(features.__path__))
    modules = (importlib.import_module(name) for name in names if find_spec(name) is not None)
    kinds: list[JobKind[Any]] = [module.KIND for module in modules]
    return {kind.name: kind for kind in kinds}
