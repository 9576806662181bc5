from datetime import date
from pathlib import Path

import pytest

from app.llm.prices import PriceList
from app.llm.types import Usage
from app.settings import Settings

SHIPPED = PriceList.current()


def usage(prompt: int, completion: int = 0, *, cached: int = 0, written: int = 0) -> Usage:
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cached_prompt_tokens=cached,
        cache_write_tokens=written,
    )


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(
        "as_of = 2026-12-01\n"
        '[models.openai]\n"gpt-5-mini" = { prompt = 0.1, completion = 1 }\n'
        '[models.local]\n"llama" = { prompt = 0, completion = 0 }\n'
    )
    return path


def test_the_default_models_have_a_price() -> None:
    settings = Settings()
    for provider in (settings.openai, settings.anthropic):
        name = "openai" if provider is settings.openai else "anthropic"
        assert SHIPPED.cost_usd(name, provider.model, usage(1, 1)) is not None
    assert SHIPPED.cost_usd("openai", "text-embedding-3-small", usage(1_000_000)) == 0.02


def test_the_list_has_a_day() -> None:
    assert date(2026, 11, 1) <= SHIPPED.as_of


@pytest.mark.parametrize(
    ("tokens", "cost_usd"),
    [
        (usage(0, 0), 0.0),
        (usage(1, 12), 0.00002425),
        (usage(1_000_000, 0), 0.25),
        (usage(1_000_000, 0, cached=1_000_000), 0.025),
        (usage(1000, 10, cached=400), 0.00018),
    ],
    ids=["nothing", "a greeting", "a prompt", "from the provider's cache", "partly from it"],
)
def test_a_cost_is_computed_from_the_tokens(tokens: Usage, cost_usd: float) -> None:
    assert SHIPPED.cost_usd("openai", "gpt-5-mini", tokens) == cost_usd


def test_a_call_through_an_sdk_costs_the_same() -> None:
    directly = SHIPPED.cost_usd("openai", "gpt-5-mini", usage(1000, 10))
    assert SHIPPED.cost_usd("openai-sdk", "gpt-5-mini", usage(1000, 10)) == directly


@pytest.mark.parametrize(
    ("provider", "snapshot"),
    [("openai", "gpt-5-mini-2025-08-07"), ("anthropic", "claude-haiku-4-5-20251001")],
)
def test_a_snapshot_has_the_price_of_its_model(provider: str, snapshot: str) -> None:
    assert SHIPPED.cost_usd(provider, snapshot, usage(10, 10)) is not None


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-5-mini-fast"),
        ("openai", "gpt-5-min"),
        ("openai", "gpt-5-mini-2025-08-07-eu"),
        ("openai", "ft:gpt-5-mini:acme"),
        ("openai", "GPT-5-mini"),
        ("openai", "claude-haiku-4-5"),
        ("azure", "gpt-5-mini"),
        ("openai", ""),
    ],
    ids=lambda value: value or "no name",
)
def test_what_only_looks_like_a_known_model_costs_nobody_knows_what(
    provider: str, model: str
) -> None:
    assert SHIPPED.cost_usd(provider, model, usage(10, 10)) is None


@pytest.mark.parametrize(
    "tokens", [usage(10, written=5), usage(10, 10)], ids=["a write to the cache", "no such price"]
)
def test_a_part_without_a_price_makes_the_whole_unknown(tokens: Usage) -> None:
    model = "gpt-5-mini" if tokens.cache_write_tokens else "text-embedding-3-small"
    assert SHIPPED.cost_usd("openai", model, tokens) is None


def test_an_entry_of_the_own_file_comes_first(own: Path) -> None:
    prices = PriceList.current(own)
    assert prices.as_of == date(2026, 12, 1)
    assert prices.cost_usd("openai", "gpt-5-mini", usage(1_000_000)) == 0.1
    assert prices.cost_usd("openai", "gpt-5-nano", usage(1_000_000)) == 0.05
    assert prices.cost_usd("local", "llama", usage(10, 10)) == 0


def test_a_snapshot_may_have_a_price_of_its_own(own: Path) -> None:
    own.write_text(
        "as_of = 2026-12-01\n"
        '[models.openai]\n"gpt-5-mini-2025-08-07" = { prompt = 9, completion = 9 }\n'
    )
    prices = PriceList.current(own)
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
    ],
)
def test_a_file_that_cannot_be_used_says_what_is_wrong(
    tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match=complaint):
        PriceList.read(path)


def test_a_file_that_is_not_there_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRICES_FILE", "/nowhere/prices.toml")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        Settings()
