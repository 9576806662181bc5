import pytest

from app.llm.retry_after import retry_after_s

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
YEAR_S = 365 * 24 * 3600


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"retry-after": "7"}, 7, id="seconds"),
        pytest.param({"retry-after": " 1.5 "}, 1.5, id="fractions, spaces"),
        pytest.param({"retry-after": "-3"}, 0, id="negative"),
        pytest.param({"retry-after": "86400"}, 86_400, id="absurd, and a number"),
        pytest.param({"retry-after": "9" * 400}, YEAR_S, id="more digits than a float"),
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
        pytest.param({"retry-after": "Fri, 99 Jan 2027 08:00:30 GMT"}, None, id="impossible date"),
        pytest.param({"retry-after": "Fri, 15 Jan 99999 08:00:30 GMT"}, None, id="year 99999"),
    ],
)
def test_a_pause_is_read_however_it_is_written(
    headers: dict[str, str], wait_s: float | None
) -> None:
    assert retry_after_s(headers, now=lambda: NOW) == wait_s
