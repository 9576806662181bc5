"""`make prices` writes the prices of genai-prices, and our own costs equal its costs."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from app.llm.price_files import read_prices
from app.llm.types import Usage
from scripts import prices

SHIPPED = Path(__file__).parents[2] / prices.PRICES
LIST = read_prices(SHIPPED)
THEIR_NAMES = {ours: theirs for ours, (theirs, _) in prices.PROVIDERS.items()}

# Below, at and above each bound that a tier of any model has.
PROMPTS = (1, 999, 100_000, 100_001, 128_001, 200_000, 200_001, 272_000, 272_001, 1_000_000)


TIERED = (
    "{ prompt = 1, completion = 30, tiers = [{ above = 50, prompt = 3, completion = 30 },"
    " { above = 100, prompt = 2, completion = 30 }] }"
)

# After `make upgrade` until `make prices`: two releases may have different prices.
same_release = pytest.mark.skipif(
    f" {prices.source()};" not in SHIPPED.read_text(), reason="made from another release"
)


def usages() -> Iterator[Usage]:
    for prompt in PROMPTS:
        for completion in (0, 7, 5_000):
            for cached, short, long in (
                (0, 0, 0),
                (prompt // 2, 0, 0),
                (0, prompt // 3, prompt // 4),
            ):
                yield Usage(
                    prompt_tokens=prompt,
                    completion_tokens=completion,
                    total_tokens=prompt + completion,
                    cached_prompt_tokens=cached,
                    cache_write_tokens=short + long,
                    cache_write_5m_tokens=short,
                    cache_write_1h_tokens=long,
                )


def theirs(usage: Usage) -> TheirUsage:
    return TheirUsage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cached_prompt_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.completion_tokens,
    )


@same_release
@pytest.mark.slow
@pytest.mark.parametrize("provider", LIST.models)
def test_a_cost_equals_that_of_the_package_or_is_unknown(provider: str) -> None:
    package = next(p for p in get_snapshot().providers if p.id == THEIR_NAMES[provider])
    day = datetime.combine(LIST.as_of, datetime.min.time(), UTC)
    known = 0
    for name in LIST.models[provider]:
        model = package.find_model(name)
        assert model is not None
        price = model.get_prices(day)
        for usage in usages():
            cost_usd = LIST.cost_usd(provider, name, usage)
            if cost_usd is not None:
                known += 1
                total = price.calc_price(theirs(usage))["total_price"]
                assert cost_usd == pytest.approx(float(total), abs=1e-9), (name, usage)
    assert known >= 30 * len(LIST.models[provider])


@same_release
@pytest.mark.slow
def test_the_shipped_list_is_that_of_the_package() -> None:
    made = prices.text(prices.models(LIST.as_of), LIST.as_of)
    assert made == SHIPPED.read_text(), "make prices"


@pytest.mark.slow
def test_a_second_run_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "prices.toml"
    assert prices.main([], path) == 0
    first = path.read_text().replace(f"as_of = {LIST.as_of}", "as_of = 2026-01-02")
    path.write_text(first)
    assert prices.main([], path) == 0
    assert path.read_text() == first
    assert " 0 changes" in capsys.readouterr().out


@pytest.mark.slow
def test_a_check_names_the_price_that_changed_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "prices.toml"
    assert prices.main([], path) == 0
    assert prices.main(["--check"], path) == 0
    old = path.read_text().replace(
        '"gpt-5-mini" = { prompt = 0.25', '"gpt-5-mini" = { prompt = 9', 1
    )
    path.write_text(old)
    capsys.readouterr()
    assert prices.main(["--check"], path) == 1
    assert path.read_text() == old
    assert "openai gpt-5-mini: { prompt = 9," in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "entry"),
    [
        ("gpt-5-mini", None),
        ("gpt-5-mini", "{ prompt = 250000, completion = 2 }"),
    ],
    ids=["a default model is missing", "dollars per token"],
)
def test_a_list_with_nonsense_is_not_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    entry: str | None,
) -> None:
    made = prices.models(LIST.as_of)
    del made["openai"][model]
    if entry is not None:
        made["openai"][model] = entry
    monkeypatch.setattr(prices, "models", lambda _day: made)
    path = tmp_path / "prices.toml"
    path.write_text("as it was")
    assert prices.main([], path) == 1
    assert path.read_text() == "as it was"
    assert f"{model}" in capsys.readouterr().err


def dollars(text: str) -> ModelPrice:
    return ModelPrice(input_mtok=Decimal(text))


def test_an_announced_price_holds_from_its_day() -> None:
    model = ModelInfo(
        "m",
        ClauseEquals("m"),
        prices=[
            ConditionalPrice(prices=dollars("1")),
            ConditionalPrice(StartDateConstraint(date(2027, 1, 1)), prices=dollars("2")),
        ],
    )
    assert prices.prices_on(model, date(2026, 12, 31)) == dollars("1")
    assert prices.prices_on(model, date(2027, 1, 1)) == dollars("2")


def test_a_model_with_prices_by_the_hour_is_left_out() -> None:
    hours = TimeOfDateConstraint(datetime.min.time(), datetime.max.time())
    model = ModelInfo(
        "m",
        ClauseEquals("m"),
        prices=[
            ConditionalPrice(prices=dollars("1")),
            ConditionalPrice(hours, prices=dollars("2")),
        ],
    )
    assert prices.prices_on(model, date(2026, 12, 1)) is None


@pytest.mark.parametrize(
    ("price", "entry"),
    [
        (ModelPrice(input_mtok=Decimal("0.250")), "{ prompt = 0.25 }"),
        (ModelPrice(input_mtok=Decimal(1), web_searches_kcount=Decimal(10)), "{ prompt = 1 }"),
        (
            ModelPrice(
                input_mtok=TieredPrices(Decimal(1), [Tier(100, Decimal(2)), Tier(50, Decimal(3))]),
                output_mtok=Decimal(30),
            ),
            TIERED,
        ),
        (ModelPrice(input_mtok=Decimal(1), requests_kcount=Decimal(5)), None),
        (ModelPrice(input_mtok=Decimal(1), output_reasoning_mtok=Decimal(5)), None),
        (ModelPrice(output_mtok=Decimal(1)), None),
        (ModelPrice(), None),
    ],
    ids=[
        "a rate",
        "with searches",
        "tiers",
        "per request",
        "other rates for reasoning",
        "no rate for prompts",
        "nothing",
    ],
)
def test_only_rates_that_the_service_can_apply_are_listed(
    price: ModelPrice, entry: str | None
) -> None:
    assert prices.as_toml(price) == entry
