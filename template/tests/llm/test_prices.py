from datetime import date

import pytest

from app.llm.costs import PriceList
from app.llm.price_files import current_prices, parse_prices
from app.llm.types import Usage
from app.settings import Settings

SHIPPED = current_prices()


def usage(prompt: int, completion: int = 0, *, cached: int = 0, **others: int) -> Usage:
    return Usage.model_validate(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "cached_prompt_tokens": cached,
            **others,
        }
    )


def priced(entry: str) -> PriceList:
    """A list with one model: `m` of `x`."""
    return parse_prices(f"as_of = 2026-12-01\n[models.x]\nm = {entry}\n")


def test_the_default_models_have_a_price() -> None:
    settings = Settings()
    for provider in (settings.openai, settings.anthropic):
        name = "openai" if provider is settings.openai else "anthropic"
        assert SHIPPED.cost_usd(name, provider.model, usage(1, 1)) is not None
    assert SHIPPED.cost_usd("openai", "text-embedding-3-small", usage(1_000_000)) == 0.02


def test_the_price_list_has_a_date() -> None:
    assert date(2026, 11, 1) <= SHIPPED.as_of


@pytest.mark.parametrize(
    ("tokens", "cost_usd"),
    [
        (usage(1, 12), 0.00002425),
        (usage(1_000_000, 0), 0.25),
        (usage(1_000_000, 0, cached=1_000_000), 0.025),
        (usage(1000, 10, cached=400), 0.00018),
    ],
    ids=["a greeting", "a prompt", "from the provider's cache", "partly from it"],
)
def test_a_cost_is_computed_from_the_tokens(tokens: Usage, cost_usd: float) -> None:
    assert SHIPPED.cost_usd("openai", "gpt-5-mini", tokens) == cost_usd


def test_a_usage_that_is_not_known_has_no_cost() -> None:
    assert SHIPPED.cost_usd("openai", "gpt-5-mini", usage(0, 0)) is None


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
def test_a_model_with_a_similar_name_has_no_price(provider: str, model: str) -> None:
    assert SHIPPED.cost_usd(provider, model, usage(10, 10)) is None


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-5-mini", usage(10, cache_write_tokens=5)),
        ("text-embedding-3-small", usage(10, 10)),
        ("gpt-5-pro", usage(10, cached=5)),
    ],
    ids=["a write to the cache", "a completion", "a read from the cache"],
)
def test_a_part_without_a_price_makes_the_whole_unknown(model: str, tokens: Usage) -> None:
    assert SHIPPED.cost_usd("openai", model, tokens) is None


def test_usage_that_the_provider_did_not_report_has_no_cost() -> None:
    assert SHIPPED.cost_usd("openai", "gpt-5-mini", usage(0, 0)) is None


def test_another_service_tier_than_the_standard_has_no_cost() -> None:
    tokens = usage(10, 10).model_copy(update={"service_tier": "priority"})
    assert SHIPPED.cost_usd("openai", "gpt-5-mini", tokens) is None


TIERED = (
    "{ prompt = 1, cached_prompt = 0.5, completion = 2, tiers = ["
    "{ above = 1000, prompt = 10, completion = 20 }, { above = 2000, prompt = 100 }] }"
)


BATCH = "[batch]\nx = 0.25\n"


@pytest.mark.parametrize(
    ("tokens", "cost_usd"),
    [
        pytest.param(usage(1_000_000), 0.25, id="prompt"),
        pytest.param(usage(1_000_000, cached=1_000_000), 0.025, id="cached"),
        pytest.param(usage(0, 1_000_000), 1.25, id="answer"),
    ],
)
def test_a_request_in_a_batch_costs_a_share_of_every_rate(tokens: Usage, cost_usd: float) -> None:
    prices = parse_prices(
        f"as_of = 2026-12-01\n{BATCH}[models.x]\n"
        "m = { prompt = 1, cached_prompt = 0.1, completion = 5 }\n"
    )
    in_batch = tokens.model_copy(update={"service_tier": "batch"})
    assert prices.cost_usd("x", "m", in_batch) == cost_usd


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_batch_costs_half(provider: str) -> None:
    model = {"openai": "gpt-5-mini", "anthropic": "claude-haiku-4-5"}[provider]
    standard = usage(1_000, 50)
    whole = SHIPPED.cost_usd(provider, model, standard)
    half = SHIPPED.cost_usd(provider, model, standard.model_copy(update={"service_tier": "batch"}))
    assert whole is not None
    assert half == pytest.approx(whole / 2)


def test_a_batch_of_a_provider_without_a_share_has_no_cost() -> None:
    in_batch = usage(1, 1).model_copy(update={"service_tier": "batch"})
    assert priced("{ prompt = 1, completion = 1 }").cost_usd("x", "m", in_batch) is None


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"batch\.x: Input should be less than or equal to 1"):
        parse_prices("as_of = 2026-12-01\n[batch]\nx = 50\n[models]\n")


@pytest.mark.parametrize(
    ("tokens", "microdollars"),
    [
        (usage(1000, 1), 1002),
        (usage(1001, 1), 10030),
        (usage(2000), 20000),
        (usage(2001), 200100),
        (usage(900, 5000), 10900),
    ],
    ids=["at the bound", "above it", "at the next", "above that", "a long completion is no tier"],
)
def test_the_tier_of_the_prompt_is_the_price_of_all_tokens(
    tokens: Usage, microdollars: int
) -> None:
    cost_usd = priced(TIERED).cost_usd("x", "m", tokens)
    assert cost_usd == pytest.approx(microdollars / 1_000_000, abs=1e-12)


def test_a_rate_that_a_tier_leaves_out_is_not_that_of_the_tier_below() -> None:
    assert priced(TIERED).cost_usd("x", "m", usage(1001, cached=1)) is None
    assert priced(TIERED).cost_usd("x", "m", usage(2001, 1)) is None


WRITES = "{ prompt = 1, cache_write = 2, cache_write_1h = 4 }"


@pytest.mark.parametrize(
    ("entry", "tokens", "microdollars"),
    [
        (WRITES, usage(10, cache_write_tokens=4, cache_write_5m_tokens=4), 14),
        (WRITES, usage(10, cache_write_tokens=4, cache_write_1h_tokens=4), 22),
        (
            WRITES,
            usage(10, cache_write_tokens=4, cache_write_5m_tokens=1, cache_write_1h_tokens=3),
            20,
        ),
        (WRITES, usage(10, cache_write_tokens=4), None),
        (WRITES, usage(10, cache_write_tokens=4, cache_write_5m_tokens=3), None),
        ("{ prompt = 1, cache_write = 2 }", usage(10, cache_write_tokens=4), 14),
    ],
    ids=["five minutes", "an hour", "both", "unsaid", "partly unsaid", "one price for all"],
)
def test_a_cache_write_is_priced_by_its_lifetime(
    entry: str, tokens: Usage, microdollars: int | None
) -> None:
    cost_usd = priced(entry).cost_usd("x", "m", tokens)
    assert cost_usd == (None if microdollars is None else microdollars / 1_000_000)


def test_reasoning_tokens_have_the_price_of_the_completion() -> None:
    thought = usage(10, 100, reasoning_tokens=90)
    assert SHIPPED.cost_usd("openai", "gpt-5-mini", thought) == SHIPPED.cost_usd(
        "openai", "gpt-5-mini", usage(10, 100)
    )


def test_a_vendors_name_in_front_is_openrouters_model() -> None:
    for provider in ("openrouter", "openai", "openai-sdk", "anthropic"):
        assert SHIPPED.cost_usd(provider, "openai/gpt-5-mini", usage(1_000_000)) == 0.25
    snapshot = "openai/gpt-5-mini-2025-08-07"
    assert SHIPPED.cost_usd("openrouter", snapshot, usage(1_000_000)) == 0.25
    assert SHIPPED.cost_usd("vllm", "openai/gpt-5-mini", usage(1_000_000)) is None
    assert SHIPPED.cost_usd("openai", "openai/gpt-oss-120b", usage(1_000_000)) is None
