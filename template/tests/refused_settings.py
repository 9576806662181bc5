import pytest

from app.configuration.refusal import EX_CONFIG
from app.settings import load


def refusal(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Load the settings, expect a refusal, and return what it names."""
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == EX_CONFIG
    lines = capsys.readouterr().err.splitlines()
    return [line.partition(":")[0].strip() for line in lines if line.startswith("  ")]
