from app.telemetry.logging import Sampler


def test_one_line_in_ten_seconds_passes_with_the_number_of_those_left_out() -> None:
    now_s = 100.0
    sampler = Sampler(lambda: now_s)
    assert [sampler.take("a"), sampler.take("a"), sampler.take("a")] == [0, None, None]
    assert sampler.take("b") == 0
    now_s += 10
    assert [sampler.take("a"), sampler.take("a")] == [2, None]
