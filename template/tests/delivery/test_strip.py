"""What `scripts/strip.py` leaves of a library is enough to load it."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from scripts.strip import stripped

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its format is Linux's")

FOR_DEBUGGERS = bytes(200_000)
LOAD = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location(*sys.argv[1:])
spec.loader.exec_module(module := module_from_spec(spec))
print(module.__file__)
"""


def library(module: str) -> Path:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


@pytest.mark.parametrize("module", ["uvloop.loop", "yaml._yaml", "pydantic_core._pydantic_core"])
def test_a_library_loses_what_is_for_debuggers_and_loads(tmp_path: Path, module: str) -> None:
    original = library(module)
    smaller = tmp_path / original.name
    smaller.write_bytes(stripped(original.read_bytes() + FOR_DEBUGGERS))
    assert smaller.stat().st_size <= original.stat().st_size
    command = [sys.executable, "-c", LOAD, module, str(smaller)]
    loaded = subprocess.run(  # noqa: S603 - this Python, and the code above
        command, check=True, capture_output=True, text=True
    )
    assert loaded.stdout.strip() == str(smaller)


def test_what_is_short_already_is_not_touched_again() -> None:
    once = stripped(library("uvloop.loop").read_bytes() + FOR_DEBUGGERS)
    assert stripped(once) is once


@pytest.mark.parametrize(
    "other", [b"", b"\x7fELF\x01\x01" + bytes(200_000), b"!<arch>\n"], ids=["empty", "32 bit", "ar"]
)
def test_what_is_something_else_stays_as_it_is(other: bytes) -> None:
    assert stripped(other) is other
