import json

import pytest

from app.llm.pauses import retry_after_s
from app.llm.providers.reported import error_in
from app.llm.status import reported_error

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
HOUR_S = 3600


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"retry-after": "7"}, 7, id="seconds"),
        pytest.param({"retry-after": " 1.5 "}, 1.5, id="fractions, spaces"),
        pytest.param({"retry-after": "-3"}, 0, id="negative"),
        pytest.param({"retry-after": "86400"}, HOUR_S, id="a day"),
        pytest.param({"retry-after": "1800000030"}, HOUR_S, id="a timestamp"),
        pytest.param({"retry-after": "Sat, 15 Jan 2028 08:00:00 GMT"}, HOUR_S, id="next year"),
        pytest.param({"retry-after-ms": "86400000"}, HOUR_S, id="a day of milliseconds"),
        pytest.param({"retry-after": "9" * 400}, HOUR_S, id="more digits than a float"),
        pytest.param({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30, id="date"),
        pytest.param({"retry-after": "Fri, 15 Jan 2027 10:00:30 +0200"}, 30, id="date with zone"),
        pytest.param({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0, id="past date"),
        pytest.param({"retry-after-ms": "250"}, 0.25, id="milliseconds"),
        pytest.param({"retry-after-ms": "250", "retry-after": "9"}, 0.25, id="both"),
        pytest.param({"retry-after-ms": "soon", "retry-after": "9"}, 9, id="garbage and seconds"),
        *(
            pytest.param({"retry-after": garbage}, None, id=f"garbage: {garbage[:20]}")
            for garbage in ["", "soon", "inf", "nan", "1_000", "1e3", "0x10", "٣", "7 seconds"]
        ),
        pytest.param({"llm_provider-retry-after": "7"}, 7, id="of the provider behind LiteLLM"),
        pytest.param({"retry-after": "5", "llm_provider-retry-after": "7"}, 5, id="of LiteLLM"),
        pytest.param({"retry-after": "Fri, 99 Jan 2027 08:00:30 GMT"}, None, id="impossible date"),
        pytest.param({"retry-after": "Fri, 15 Jan 99999 08:00:30 GMT"}, None, id="year 99999"),
    ],
)
def test_a_pause_is_read_however_it_is_written(
    headers: dict[str, str], wait_s: float | None
) -> None:
    assert retry_after_s(headers, now=lambda: NOW) == wait_s


@pytest.mark.parametrize(
    ("body", "wait_s"),
    [
        pytest.param({"error": {"message": "Slow down", "retry_after": 7}}, 7, id="a number"),
        pytest.param({"error": {"message": "Slow down"}, "retry_after": 7.5}, 7.5, id="beside it"),
        pytest.param({"detail": "Slow down", "retry_after": "7"}, 7, id="a number as text"),
        pytest.param({"error": {"code": 429, "retry_after_ms": 250}}, 0.25, id="milliseconds"),
        pytest.param({"error": {"code": 429, "retryAfter": "1m30s"}}, 90, id="a duration"),
        pytest.param(
            {"error": {"code": 429, "details": [{"reason": "X"}, {"retryDelay": "11s"}]}},
            11,
            id="Google's details",
        ),
        pytest.param(
            {"error": {"code": 429, "metadata": {"headers": {"Retry-After": "9"}}}},
            9,
            id="OpenRouter's headers",
        ),
        pytest.param({"error": "Please retry after 8 seconds."}, 8, id="Azure's sentence"),
        pytest.param({"error": "Please try again in 6m0s. See"}, 360, id="OpenAI's sentence"),
        pytest.param({"error": "Please try again in 20ms."}, 0.02, id="a sentence in ms"),
        pytest.param({"error": {"code": 429, "retry_after": 10**400}}, HOUR_S, id="a huge number"),
        pytest.param({"error": {"code": 429, "retry_after": 86400}}, HOUR_S, id="a day"),
        *(
            pytest.param({"error": {"code": 429, "retry_after": garbage}}, None, id=f"{garbage}")
            for garbage in [None, True, -3, "soon", "1e3", "٣", [7], {"s": 7}]
        ),
        pytest.param({"error": "It broke 8 seconds ago"}, None, id="another time"),
        pytest.param({"error": "Try again in 5 months"}, None, id="another unit"),
    ],
)
def test_a_pause_inside_an_error_is_read(body: object, wait_s: float | None) -> None:
    detail = error_in(json.loads(json.dumps(body)))
    assert detail is not None
    assert reported_error(detail, provider="openai").retry_after_s == wait_s
