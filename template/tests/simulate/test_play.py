"""Scenarios of a few replicas: the guards of all of them together do what one of them promises."""

from dataclasses import replace

import pytest

from scripts.simulate.__main__ import main
from scripts.simulate.play import Played, play
from scripts.simulate.recording import Asked, Recording, most_in_a_second, percentile
from scripts.simulate.report import lines
from scripts.simulate.scenario import SCENARIOS, Size
from tests.resilience.arrivals import overdraft

FEW = Size(replicas=5, rate=50, shrink=1)


def played(name: str, size: Size = FEW) -> Played:
    return play(SCENARIOS[name], size)


def test_the_same_seed_gives_the_same_play() -> None:
    few = Size(replicas=2, rate=15, shrink=1)
    first, second = played("limit", few), played("limit", few)
    assert first.recording == second.recording
    assert first.redis.traffic == second.redis.traffic
    assert play(SCENARIOS["limit"], few, seed=2).recording != first.recording


def test_every_request_is_answered_when_nothing_happens() -> None:
    recording = played("ample").recording
    assert len(recording.asked) > 150
    assert set(recording.outcomes) == {"answered"}
    assert len(recording.called_s) == len(recording.asked)
    assert 0.5 < percentile(recording.waits_s(), 0.5) < 0.52


def test_all_replicas_together_obey_the_limit_of_the_provider() -> None:
    recording = played("limit").recording
    # A call is made a moment later than its slot.
    assert overdraft(recording.called_s, burst=25, per_minute=25 * 60) <= 0.5
    assert len(recording.called_s) == recording.answered >= 25 + 4 * 25
    assert set(recording.outcomes) == {"answered", "LimitReachedError"}
    assert max(recording.waits_s(refused=True)) < 0.01


def test_each_replica_stops_calling_a_provider_that_is_down() -> None:
    recording = played("down").recording
    assert recording.events["llm.circuit"] == FEW.replicas
    assert recording.outcomes["CircuitOpenError"] > 100
    failed = len(recording.called_s) - recording.answered
    # It opens at the fifth failure in a row; answers to calls of the time before come in between.
    assert FEW.replicas <= failed <= FEW.replicas * 12
    assert max(recording.called_s) < 3


def test_each_replica_asks_a_hot_question_once_until_its_answer_is_stored() -> None:
    stampede = SCENARIOS["stampede"]
    hot = replace(stampede, seconds=2.0, hot=0.9, settings={"CACHE_TTL_S": "60"})
    recording = play(hot, Size(replicas=4, rate=100, shrink=1)).recording
    assert recording.answered == len(recording.asked) > 150
    assert recording.asked_again == 3


def test_after_a_restart_of_all_replicas_every_client_has_its_answer() -> None:
    recording = played("restart").recording
    assert set(recording.outcomes) == {"answered"}
    # A client that loses its connection comes again, up to 1.5 s after the next one is accepted.
    assert 1 < max(recording.waits_s()) < 4
    assert recording.asked_again > 0


def test_without_redis_the_replicas_keep_to_the_limit_and_find_redis_again() -> None:
    few = Size(replicas=4, rate=40, shrink=1)
    recording = played("gone", few).recording
    assert recording.events["redis.unavailable"] >= few.replicas
    assert recording.events["redis.recovered"] == recording.events["redis.unavailable"]
    assert overdraft(recording.called_s, burst=10, per_minute=50 * 60) <= 5  # one burst more


def test_clients_with_limits_cost_two_round_trips_more() -> None:
    few = Size(replicas=2, rate=20, shrink=1)
    found = played("clients", few)
    assert set(found.recording.outcomes) == {"answered"}
    trips = found.redis.traffic.round_trips / len(found.recording.asked)
    assert trips == pytest.approx(5, rel=0.1)


def test_a_part_has_its_share_of_everything() -> None:
    whole, part = Size(replicas=100, rate=1000, shrink=1), Size(replicas=100, rate=1000, shrink=10)
    limit = SCENARIOS["limit"].variables(whole), SCENARIOS["limit"].variables(part)
    assert (part.simulated_replicas, part.simulated_rate, part.max_clients) == (10, 100, 1000)
    for name in ("RATE_LIMIT_REQUESTS_PER_MINUTE", "RATE_LIMIT_BURST"):
        assert int(limit[0][name]) == 10 * int(limit[1][name])


def test_the_numbers_of_a_part_are_reported_as_those_of_the_whole() -> None:
    part = played("ample", Size(replicas=50, rate=500, shrink=25))
    found = {line.name: line.value for line in lines(part)}
    recording, traffic = part.recording, part.redis.traffic
    assert found["requests"] == 25 * len(recording.asked)
    assert found["calls to the provider"] == 25 * len(recording.called_s)
    assert found["Redis, round trips a second"] == 25 * traffic.round_trips / 4
    assert found["Redis, most connections"] == 25 * part.redis.most_connections
    assert found["answer, p50"] == 1000 * percentile(recording.waits_s(), 0.5)


def test_the_command_prints_the_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ample", "--replicas", "2", "--rate", "10", "--shrink", "1"]) == 0
    printed = capsys.readouterr().out
    assert "ample: Nothing happens" in printed
    assert "2 replicas, 10 requests a second for 4 s" in printed
    assert "calls to the provider" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["flood"], "no scenario flood; choose of: steady", id="scenario"),
        pytest.param(["compare", "down"], "no scenario compare", id="compare and a scenario"),
        pytest.param(["--shrink", "7"], "7 does not divide 1000 replicas", id="shrink"),
        pytest.param(["--replicas", "0"], "at least one replica", id="replicas"),
        pytest.param(["--rate", "-1"], "some requests a second", id="rate"),
    ],
)
def test_a_wrong_argument_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("word", ["compare", "measure"])
def test_without_the_address_of_a_redis_the_command_names_the_variable(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    with pytest.raises(SystemExit, match="REDIS_URL=redis://"):
        main([word])


def test_percentiles_are_of_the_nearest_rank() -> None:
    waits = [float(wait) for wait in range(1, 101)]
    assert [percentile(waits, share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert percentile([], 0.5) != percentile([], 0.5)  # not a number


def test_the_fullest_second_may_begin_at_any_time() -> None:
    assert most_in_a_second([0.0, 0.5, 0.9, 1.2, 1.4, 3.0]) == 4


def test_refusals_and_answers_are_told_apart() -> None:
    asked = [Asked(0, 1, "answered"), Asked(0, 2, "CircuitOpenError"), Asked(0, 3, "TimeoutError")]
    recording = Recording(asked)
    assert (recording.answered, recording.refused) == (1, 1)
    assert (recording.waits_s(), recording.waits_s(refused=True)) == ([1], [2])
