"""A price file of one's own: its entries come first, and a wrong one is refused."""

from datetime import date
from pathlib import Path

import pytest

from app.llm.price_files import current_prices, read_prices
from app.settings import Settings
from tests.llm.test_prices import SHIPPED, usage


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(
        "as_of = 2026-12-01\n"
        '[models.openai]\n"gpt-5-mini" = { prompt = 0.1, completion = 1 }\n'
        '[models.local]\n"llama" = { prompt = 0, completion = 0 }\n'
    )
    return path


def test_a_share_of_the_own_file_comes_first(own: Path) -> None:
    own.write_text(
        own.read_text().replace("[models.openai]", "[batch]\nopenai = 0.9\n[models.openai]")
    )
    prices = current_prices(own)
    in_batch = usage(1_000_000).model_copy(update={"service_tier": "batch"})
    assert prices.cost_usd("openai", "gpt-5-mini", in_batch) == pytest.approx(0.09)
    assert prices.batch["anthropic"] == SHIPPED.batch["anthropic"]


def test_an_entry_of_the_own_file_comes_first(own: Path) -> None:
    prices = current_prices(own)
    assert prices.as_of == date(2026, 12, 1)
    assert prices.cost_usd("openai", "gpt-5-mini", usage(1_000_000)) == 0.1
    assert prices.cost_usd("openai", "gpt-5-nano", usage(1_000_000)) == 0.05
    assert prices.cost_usd("local", "llama", usage(10, 10)) == 0


def test_a_snapshot_may_have_a_price_of_its_own(own: Path) -> None:
    own.write_text(
        "as_of = 2026-12-01\n"
        '[models.openai]\n"gpt-5-mini-2025-08-07" = { prompt = 9, completion = 9 }\n'
    )
    prices = current_prices(own)
    assert prices.cost_usd("openai", "gpt-5-mini-2025-08-07", usage(1_000_000)) == 9
    assert prices.cost_usd("openai", "gpt-5-mini", usage(1_000_000)) == 0.25


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("as_of = ", "is not TOML"),
        ("\x00", "is not TOML"),
        ("[models]\n", "as_of: Field required"),
        ('as_of = "soon"\n[models]\n', "as_of: Input should be a valid date"),
        ("as_of = 2026-12-01\n[models.x]\ny = { prompt = -1 }", "models.x.y.prompt: "),
        ("as_of = 2026-12-01\n[models.x]\ny = { prompt = nan }", "models.x.y.prompt: "),
        ("as_of = 2026-12-01\n[models.x]\ny = { prompt = inf }", "models.x.y.prompt: "),
        ("as_of = 2026-12-01\n[models.x]\ny = { prompt = 0.0000001 }", "models.x.y.prompt: "),
        ("as_of = 2026-12-01\n[models.x]\ny = { input = 1 }", "models.x.y.input: Extra"),
        (
            "as_of = 2026-12-01\n[models.x]\ny = { tiers = [{ prompt = 1 }] }",
            r"models.x.y.tiers\[0\].above: Field required",
        ),
        (
            "as_of = 2026-12-01\n[models.x]\ny = { tiers = [{ above = 2 }, { above = 2 }] }",
            "models.x.y.tiers: .*each tier must begin above the one before it",
        ),
    ],
    ids=[
        "half a line",
        "binary",
        "no day",
        "a vague day",
        "negative",
        "not a number",
        "infinite",
        "too fine",
        "unknown",
        "a tier without a bound",
        "tiers in disorder",
    ],
)
def test_an_unusable_price_file_is_refused_with_the_reason(
    tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match=complaint):
        read_prices(path)


def test_a_file_that_is_not_there_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICES_FILE", "/nowhere/prices.toml")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        Settings()
