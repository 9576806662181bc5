"""`make prices`: writes src/app/llm/prices.toml from the package genai-prices. No network.

    prices.py [--check]    --check writes nothing, and exits with 1 when a price has changed

It lists the models for chat and embeddings with prices that the service can apply: per token, and
equal at all hours of the day. A model with any other price is left out, and its calls cost `null`.
If no price has changed, the file does not change, including its date.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ClauseAnd,
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
)

from app.llm.price_files import parse_prices

PRICES = Path("src/app/llm/prices.toml")

# For each provider: its name in the package, and a pattern for the names of its models. Models of
# earlier generations are left out, because the service reads the whole list at start.
PROVIDERS = {
    "openai": ("openai", r"(gpt-4o|gpt-4\.1|gpt-5(?!-\d)|gpt-6|o[34]|text-embedding-3)"),
    "anthropic": ("anthropic", r"claude-[a-z]+-\d(-\d)?$"),
    "mistral": ("mistral", r"(mistral|ministral|magistral|codestral|devstral)-"),
    "groq": ("groq", r"(llama-3\.[13]|openai/|qwen/|moonshotai/|meta-llama/llama-4)"),
    "gemini": ("google", r"gemini-([2-9]|embedding)"),
    # The price of open weights depends on the server, so only models of two vendors are listed.
    "openrouter": ("openrouter", r"(openai/gpt-(4o|4\.1|5|6)|anthropic/claude-[a-z])"),
}
_OTHER_USES = re.compile(r"audio|image|live|ocr|realtime|search|transcribe|tts|thinking|preview|:")
# The models of the service's defaults, which must have a price.
EXPECTED = {
    "openai": ("gpt-5-mini", "text-embedding-3-small"),
    "anthropic": ("claude-haiku-4-5",),
}

RATES = {
    "input_mtok": "prompt",
    "cache_read_mtok": "cached_prompt",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "completion",
}
# Prices of features that the service does not use.
NOT_ASKED_FOR = {
    "web_searches_kcount",
    "storage_searches_kcount",
    "input_audio_mtok",
    "input_video_mtok",
    "cache_audio_read_mtok",
}
# The share of its prices that a provider asks for a request in a batch, and the page that says so.
BATCH_READ_ON = "2026-11-29"
BATCH = {
    "openai": ("0.5", "https://developers.openai.com/api/docs/guides/batch"),
    "anthropic": (
        "0.5",
        "https://platform.claude.com/docs/en/build-with-claude/batch-processing",
    ),
}
MOST_DOLLARS = Decimal(1000)  # for a million tokens: a higher price is an error
_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")

Models = dict[str, dict[str, str]]


def main(arguments: Sequence[str], path: Path = PRICES) -> int:
    today = datetime.now(UTC).date()
    made = models(today)
    if problems := list(nonsense(made)):
        print(f"make prices: no file was written: {'; '.join(problems)}", file=sys.stderr)
        return 1
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    changed = changes(listed(before), made)
    print("".join(f"{line}\n" for line in changed), end="")
    print(f"make prices: {sum(map(len, made.values()))} models, {len(changed)} changes, {source()}")
    if "--check" in arguments:
        return 1 if changed else 0
    day = today if changed else day_of(before)
    write(path, text(made, day or today))
    return 0


def write(path: Path, content: str) -> None:
    """Validate the content as the service does, and replace the file atomically."""
    parse_prices(content)
    new = path.with_suffix(".new")
    new.write_text(content, encoding="utf-8")
    new.replace(path)


def source() -> str:
    return f"genai-prices {version('genai-prices')}"


def day_of(file: str) -> date | None:
    found = re.search(r"^as_of = (\d{4}-\d{2}-\d{2})$", file, re.MULTILINE)
    return date.fromisoformat(found[1]) if found else None


def listed(file: str) -> Models:
    """The entries of each provider as they are in the file; the inverse of `text`."""
    found: Models = {}
    for section in file.split("\n[models.")[1:]:
        provider, _, lines = section.partition("]\n")
        found[provider] = dict(re.findall(r'^"([^"]+)" = (.+)$', lines, re.MULTILINE))
    return found


def changes(before: Models, after: Models) -> list[str]:
    return [
        f"{provider} {model}: {old} -> {new}"
        for provider in sorted({*before, *after})
        for model in sorted({*before.get(provider, {}), *after.get(provider, {})})
        if (old := before.get(provider, {}).get(model, "not listed"))
        != (new := after.get(provider, {}).get(model, "not listed"))
    ]


def models(day: date) -> Models:
    """Each listed model with its entry as TOML, with the prices of that day."""
    known = {provider.id: provider for provider in get_snapshot().providers}
    return {
        ours: dict(sorted(entries(known[theirs], re.compile(chosen), day)))
        for ours, (theirs, chosen) in PROVIDERS.items()
    }


def entries(provider: Provider, chosen: re.Pattern[str], day: date) -> Iterator[tuple[str, str]]:
    for model in provider.models:
        prices = prices_on(model, day)
        entry = None if prices is None else as_toml(prices)
        if entry is not None:
            for name in names(provider, model):
                if chosen.match(name) and not _OTHER_USES.search(name):
                    yield name, entry


def prices_on(model: ModelInfo, day: date) -> ModelPrice | None:
    """The prices on a day; None if they depend on more than the day."""
    if isinstance(model.prices, ModelPrice):
        return model.prices
    for each in reversed(model.prices):
        if each.constraint is None:
            return each.prices
        if not isinstance(each.constraint, StartDateConstraint):
            return None
        if each.constraint.start_date <= day:
            return each.prices
    return None


def names(provider: Provider, model: ModelInfo) -> list[str]:
    """The names that requests may use; a dated one only if the undated name does not match."""
    found = {model.id, *_named(model.match)}
    own = {name for name in found if re.fullmatch(r"[\w.:/-]*\w", name)}
    own = {name for name in own if provider.find_model(name) is model}
    return [name for name in own if _DATED.sub("", name) not in own - {name}]


def _named(match: MatchLogic) -> Iterator[str]:
    if isinstance(match, ClauseEquals):
        yield match.equals
    elif isinstance(match, ClauseStartsWith):
        yield match.starts_with
    elif isinstance(match, ClauseOr):
        for clause in match.or_:
            yield from _named(clause)
    elif isinstance(match, ClauseAnd):
        return


def as_toml(prices: ModelPrice) -> str | None:
    """The entry, or None for a model with a price that is not per token or cannot be applied."""
    asked = {key: price for key, price in vars(prices).items() if key not in NOT_ASKED_FOR}
    rates = {RATES.get(key, ""): price for key, price in asked.items() if price is not None}
    if "" in rates or "prompt" not in rates:
        return None
    tiered = [price for price in rates.values() if isinstance(price, TieredPrices)]
    starts = sorted({tier.start for price in tiered for tier in price.tiers})
    parts = [_rates(rates, 0)]
    if starts:
        tiers = (f"{{ above = {start}, {_rates(rates, start)} }}" for start in starts)
        parts.append(f"tiers = [{', '.join(tiers)}]")
    return f"{{ {', '.join(parts)} }}"


def _rates(rates: dict[str, Decimal | TieredPrices], start: int) -> str:
    found = ((name, _at(rates[name], start)) for name in RATES.values() if name in rates)
    return ", ".join(f"{name} = {price.normalize():f}" for name, price in found)


def _at(price: Decimal | TieredPrices, start: int) -> Decimal:
    """The rate for a prompt just above `start` tokens."""
    if isinstance(price, Decimal):
        return price
    reached = [tier.price for tier in price.tiers if tier.start <= start]
    return reached[-1] if reached else price.base


def nonsense(made: Models) -> Iterator[str]:
    """Errors in the prices; with any of them, the file is not written."""
    for provider, expected in EXPECTED.items():
        for model in expected:
            if model not in made[provider]:
                yield f"{provider} has no price for {model}"
    for provider, known in made.items():
        if not known:
            yield f"{provider} has no models"
        for model, entry in known.items():
            dollars = [Decimal(each) for each in re.findall(r"(?<!above) = ([\d.]+)", entry)]
            if max(dollars) > MOST_DOLLARS:
                yield f"{provider} {model} costs {max(dollars)} dollars"


def text(made: Models, day: date) -> str:
    lines = [
        f"# Written by `make prices` from {source()}; edits here are lost. PRICES_FILE names a file like this",
        "# one, and its entries replace the entries here.",
        "#",
        "# US dollars for a million tokens: standard processing, no flex or priority. The rates of a tier",
        "# replace all others if the prompt has more tokens than `above`. A missing rate is unknown.",
        "# as_of is the day of the last change.",
        "",
        f"as_of = {day}",
        "",
        "# The share of all rates that a request in a provider's batch costs. genai-prices has none; read on",
        f"# {BATCH_READ_ON}:",
        "[batch]",
        *(f"{provider} = {share} # {source}" for provider, (share, source) in BATCH.items()),
    ]
    for provider, known in made.items():
        lines += ["", f"[models.{provider}]"]
        lines += [f'"{name}" = {entry}' for name, entry in known.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
