"""What both stores of jobs have in common."""

from itertools import pairwise

import orjson
import pytest
from fastapi import HTTPException

from app.features.jobs.store import Outcome, TooManyJobsError
from tests.features.jobs.both_sides import JOB, Jobs, spec

BATCHES = [[b"0", b"1", b"2"], [b"3", b"4"]]


def outcome(index: int, *, is_success: bool = True) -> Outcome:
    return Outcome(index, is_success, orjson.dumps({"index": index}))


async def test_an_unknown_job_has_no_progress_and_no_results(jobs: Jobs) -> None:
    assert await jobs.store.progress(JOB) is None
    assert await jobs.store.results(JOB, 0, 10) == []
    await jobs.store.cancel(JOB)


async def test_a_new_job_is_queued_with_all_facts_of_its_request(jobs: Jobs) -> None:
    given = spec(client="acme", tenant="acme:7", request_id="r1", traceparent="t1")
    await jobs.store.add(given, BATCHES)
    progress = await jobs.store.progress(JOB)
    assert progress is not None
    assert (progress.spec, progress.state) == (given, "queued")


async def test_batches_are_taken_in_order_and_each_once(jobs: Jobs) -> None:
    await jobs.store.add(spec(), BATCHES)
    taken = [await jobs.queue.take() for _ in range(3)]
    assert [each and (each.start, each.stop, each.number) for each in taken] == [
        (0, 3, 1),
        (3, 5, 1),
        None,
    ]


async def test_a_loaded_batch_has_its_items_and_the_job_runs(jobs: Jobs) -> None:
    await jobs.store.add(spec(), BATCHES)
    await jobs.queue.take()
    second = await jobs.queue.take()
    assert second is not None
    work = await jobs.queue.load(second)
    assert work is not None
    assert work.items == {3: b"3", 4: b"4"}
    progress = await jobs.store.progress(JOB)
    assert progress is not None
    assert progress.state == "running"


async def test_a_finished_item_is_not_loaded_again(jobs: Jobs) -> None:
    await jobs.store.add(spec(), BATCHES)
    first = await jobs.queue.take()
    assert first is not None
    await jobs.queue.store(JOB, [outcome(1)])
    work = await jobs.queue.load(first)
    assert work is not None
    assert sorted(work.items) == [0, 2]


async def test_a_result_that_is_stored_twice_counts_once(jobs: Jobs) -> None:
    await jobs.store.add(spec(), BATCHES)
    await jobs.queue.store(JOB, [outcome(1), outcome(1)])
    await jobs.queue.store(JOB, [outcome(1, is_success=False)])
    progress = await jobs.store.progress(JOB)
    assert progress is not None
    assert (progress.succeeded, progress.failed) == (1, 0)
    assert await jobs.store.results(JOB, 0, 10) == [b'{"index":1}']


async def test_progress_never_goes_back_and_ends_when_every_item_has_a_result(jobs: Jobs) -> None:
    await jobs.store.add(spec(), BATCHES)
    seen, ends, states = [], [], []
    for index in (3, 0, 4, 2, 1):
        ends.append(await jobs.queue.store(JOB, [outcome(index, is_success=index != 4)]))
        progress = await jobs.store.progress(JOB)
        assert progress is not None
        seen.append((progress.succeeded, progress.failed))
        states.append(progress.state)
    assert all(a <= b and c <= d for (a, c), (b, d) in pairwise(seen))
    assert seen[-1] == (4, 1)
    assert ends == [False] * 4 + [True]
    assert states[-1] == "completed"


async def test_pages_of_results_never_change(jobs: Jobs) -> None:
    await jobs.store.add(spec(), BATCHES)
    await jobs.queue.store(JOB, [outcome(3), outcome(0)])
    page = await jobs.store.results(JOB, 0, 2)
    await jobs.queue.store(JOB, [outcome(1)])
    assert await jobs.store.results(JOB, 0, 2) == page == [b'{"index":3}', b'{"index":0}']
    assert await jobs.store.results(JOB, 2, 2) == [b'{"index":1}']


async def test_a_cancelled_job_stays_as_it_is(jobs: Jobs) -> None:
    await jobs.store.add(spec(), BATCHES)
    delivery = await jobs.queue.take()
    assert delivery is not None
    await jobs.queue.store(JOB, [outcome(0)])
    assert await jobs.queue.keep(delivery)
    await jobs.store.cancel(JOB)
    assert not await jobs.queue.keep(delivery)
    assert await jobs.queue.load(delivery) is None
    assert not await jobs.queue.store(JOB, [outcome(index) for index in range(1, 5)])
    progress = await jobs.store.progress(JOB)
    assert progress is not None
    assert (progress.state, progress.succeeded) == ("cancelled", 1)


async def test_a_completed_job_cannot_be_cancelled(jobs: Jobs) -> None:
    await jobs.store.add(spec(total=1), [[b"0"]])
    await jobs.queue.store(JOB, [outcome(0)])
    await jobs.store.cancel(JOB)
    progress = await jobs.store.progress(JOB)
    assert progress is not None
    assert progress.state == "completed"


async def test_an_owner_has_a_maximum_of_unfinished_jobs(jobs: Jobs) -> None:
    await jobs.store.add(spec(0, total=1), [[b"0"]])
    await jobs.store.add(spec(1), BATCHES)
    with pytest.raises(TooManyJobsError) as refused:
        await jobs.store.add(spec(2), BATCHES)
    assert isinstance(refused.value, HTTPException)
    assert refused.value.status_code == 429
    await jobs.store.add(spec(3, owner="other"), BATCHES)


@pytest.mark.parametrize("end", ["completed", "cancelled"])
async def test_a_job_that_has_ended_makes_room_for_another(jobs: Jobs, end: str) -> None:
    await jobs.store.add(spec(0, total=1), [[b"0"]])
    await jobs.store.add(spec(1), BATCHES)
    if end == "completed":
        await jobs.queue.store(JOB, [outcome(0)])
    else:
        await jobs.store.cancel(JOB)
    await jobs.store.add(spec(2), BATCHES)


async def test_a_batch_that_is_put_back_is_taken_again_as_if_for_the_first_time(jobs: Jobs) -> None:
    await jobs.store.add(spec(), [[b"0"]])
    first = await jobs.queue.take()
    assert first is not None
    await jobs.queue.put_back(first)
    again = await jobs.queue.take()
    assert again is not None
    assert (again.job, again.start, again.number) == (JOB, 0, 1)
    assert await jobs.queue.take() is None


async def test_the_depth_counts_batches_that_wait_or_are_in_progress(jobs: Jobs) -> None:
    assert (await jobs.queue.depth()).batches == 0
    await jobs.store.add(spec(), BATCHES)
    delivery = await jobs.queue.take()
    assert delivery is not None
    depth = await jobs.queue.depth()
    assert depth.batches == 2
    assert depth.oldest_s >= 0
    await jobs.queue.done(delivery)
    assert (await jobs.queue.depth()).batches == 1


BIG, SMALL = spec(1, total=40, owner="big"), spec(2, total=3, owner="small")


async def took(jobs: Jobs, count: int) -> list[str]:
    """The owners of the next batches, in the order in which workers take them."""
    jobs_of = {each.id: each.owner for each in (BIG, SMALL, spec(3), spec(4))}
    found = [await jobs.queue.take() for _ in range(count)]
    return [jobs_of[each.job] for each in found if each is not None]


async def test_a_small_job_takes_turns_with_a_large_one_that_came_before(jobs: Jobs) -> None:
    await jobs.store.add(BIG, [[b"0"]] * 40)
    assert await took(jobs, 5) == ["big"] * 5
    await jobs.store.add(SMALL, [[b"0"]] * 3)
    assert sorted(await took(jobs, 6)) == ["big"] * 3 + ["small"] * 3
    assert await took(jobs, 50) == ["big"] * 32


async def test_an_owner_that_comes_late_does_not_hold_up_the_first_one(jobs: Jobs) -> None:
    await jobs.store.add(BIG, [[b"0"]] * 40)
    await took(jobs, 20)
    await jobs.store.add(SMALL, [[b"0"]] * 10)
    for _ in range(10):
        assert sorted(await took(jobs, 2)) == ["big", "small"]


async def test_each_owner_waits_for_one_batch_of_every_other_owner(jobs: Jobs) -> None:
    await jobs.store.add(BIG, [[b"0"]] * 40)
    await jobs.store.add(SMALL, [[b"0"]] * 3)
    await jobs.store.add(spec(3, owner="third", total=2), [[b"0"]] * 2)
    owners = [await jobs.queue.take() for _ in range(6)]
    rounds = [{each.job for each in owners[at : at + 3] if each is not None} for at in (0, 3)]
    assert rounds == [{BIG.id, SMALL.id, spec(3).id}] * 2


async def test_a_second_job_of_one_owner_does_not_overtake_its_first(jobs: Jobs) -> None:
    await jobs.store.add(spec(3, total=4), [[b"0"]] * 4)
    await jobs.store.add(spec(4, total=1), [[b"0"]])
    taken = [await jobs.queue.take() for _ in range(5)]
    assert [each and each.job for each in taken] == [spec(3).id] * 4 + [spec(4).id]


async def test_an_owner_that_was_served_much_before_is_not_put_behind_others(jobs: Jobs) -> None:
    await jobs.store.add(BIG, [[b"0"]] * 10)
    assert len(await took(jobs, 10)) == 10
    await jobs.store.add(SMALL, [[b"0"]] * 3)
    await jobs.store.add(spec(3, owner="big", total=1), [[b"0"]])
    jobs_taken = [await jobs.queue.take() for _ in range(2)]
    assert spec(3).id in {each.job for each in jobs_taken if each is not None}


async def test_the_depth_counts_batches_that_wait_and_that_run(jobs: Jobs) -> None:
    await jobs.store.add(SMALL, [[b"0"]] * 3)
    first = await jobs.queue.take()
    assert first is not None
    assert (await jobs.queue.depth()).batches == 3
    await jobs.queue.put_back(first)
    again = await jobs.queue.take()
    assert again is not None
    assert (await jobs.queue.depth()).batches == 3
    await jobs.queue.done(again)
    assert (await jobs.queue.depth()).batches == 2
