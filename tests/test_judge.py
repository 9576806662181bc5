"""An independent judge of the service's client: llmock breaks it on purpose and gives a verdict.

The judge sees the requests at a provider: their number, the time between them, and whether an
answer that broke off was taken for a whole one. It cannot see the answers to callers, so they
behave here as callers should: a caller with a broken stream asks once more, and no other caller does.
A client that hid a broken answer is detected, because the second question is missing.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from statistics import mean

import pytest
from llmock.chaos import StreamChaos
from llmock.scenarios import Behavior, Delay, Fail, Match, SlowFirstToken, StreamFault
from llmock.testing import LLMockServer
from llmock.verdict import RETRYABLE, Call, Finding, Verdict, judge

from tests.service import Service, generate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROVIDERS = ("openai", "anthropic")
REFUSALS = (400, 401, 403, 404, 413, 422)
CHUNKS = {"openai": 13, "anthropic": 15}  # of a whole answer of the judge's
SILENCE_S = 5.0  # of the judge's; the service's patience is a tenth of it


@dataclass(frozen=True)
class Question:
    """One call of a user, its faults, and whether it is answered in the end.

    `model` is a name of its own: that is how the script finds the question.
    """

    script: tuple[Behavior, ...]
    answered: bool = True
    provider: str = ""
    model: str = ""
    stream: bool = False

    def matched(self) -> Iterator[Behavior]:
        return (replace(behavior, match=Match(model=self.model)) for behavior in self.script)


def failures() -> Iterator[Question]:
    """Failures that end after one, two or no retries, with and without `Retry-After`."""
    for status, pause_s in product(sorted(RETRYABLE), (0.3, None)):
        for times in (1, 2):
            yield Question((Fail(status, retry_after=pause_s, times=times),))
        yield Question((Fail(status, retry_after=pause_s, times=None),), answered=False)
    for status in REFUSALS:
        yield Question((Fail(status),), answered=False)
    yield Question((Delay(0.5),))
    yield Question((Fail(503, retry_after=0.3), Fail(500), Delay(0.2)))


def broken_streams(chunks: int) -> Iterator[Question]:
    """Each way to break, before the first text, in the middle and right before the end."""
    for sent in range(chunks):
        yield Question((StreamFault("disconnect", after_chunks=sent),))
        yield Question((StreamFault("truncate", after_chunks=sent),))
    for sent in range(chunks - 1):  # behind the last one there is nothing to hang up on
        yield Question((StreamFault("malformed", after_chunks=sent),))
    for sent in (0, 2, 6):
        yield Question((StreamFault("stall", after_chunks=sent, stall_seconds=SILENCE_S),))
    yield Question((SlowFirstToken(0.2),))


def script() -> list[Question]:
    asked = [
        replace(question, provider=provider, stream=stream)
        for provider, stream in product(PROVIDERS, (False, True))
        for question in (*failures(), *(broken_streams(CHUNKS[provider]) if stream else ()))
    ]
    return [replace(question, model=f"model-{i}") for i, question in enumerate(asked)]


@pytest.fixture(scope="module")
def provider() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        yield server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, provider: LLMockServer) -> Iterator[Service]:
    service = generate(tmp_path_factory.mktemp("judged") / "service")
    service.run("make", "install")
    (service.path / ".env").write_text(configuration(service, provider))
    with service.running(".venv/bin/python", "-m", "app") as process:
        service.wait_until_healthy(process)
        yield service


def configuration(service: Service, provider: LLMockServer) -> str:
    """Short timeouts, so that it takes a minute, and no guard that would keep calls from the judge."""
    values = {
        "PORT": service.app_port,
        "OPENAI_BASE_URL": provider.base_url("openai"),
        "ANTHROPIC_BASE_URL": provider.base_url("anthropic"),
        "RETRY_BASE_DELAY_S": 0.2,
        "STREAM_CHUNK_TIMEOUT_S": SILENCE_S / 10,
        "ENABLE_CACHING": "false",
        "RATE_LIMIT_REQUESTS_PER_MINUTE": 1_000_000,
        "BREAKER_FAILURES": 1_000,
        "BREAKER_FAILURE_RATE": 1,
        "RETRY_BUDGET_RESERVE": 10_000,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


@dataclass(frozen=True)
class Told:
    """The result for a user: the status, and the last event of a stream with its text."""

    status: int
    last_event: str = ""
    text: str = ""

    @property
    def is_whole(self) -> bool:
        return self.last_event == "event: done"


def told(service: Service, question: Question) -> Told:
    body = {
        "messages": [{"role": "user", "content": "Where is the Zugspitze?"}],
        "provider": question.provider,
        "model": question.model,
        "stream": question.stream,
    }
    request = urllib.request.Request(
        f"{service.url}/v1/chat",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return Told(error.code)
    if not question.stream:
        return Told(200)
    *_, name, data = text.split("\n\n")[-2].splitlines()
    return Told(200, name, json.loads(data.removeprefix("data: ")).get("content", ""))


def careful(service: Service, question: Question) -> Told:
    """A user that asks again when a stream broke, and only then."""
    first = told(service, question)
    breaks = any(isinstance(behavior, StreamFault) for behavior in question.script)
    return first if first.is_whole or not breaks else told(service, question)


def verdict_on(
    service: Service,
    provider: LLMockServer,
    questions: Sequence[Question],
    ask: Callable[[Service, Question], Told] = careful,
) -> Verdict:
    provider.state.reset()
    # If all chunks were sent at once, no client could close the connection at a broken one.
    provider.state.stream_chaos = StreamChaos(chunk_delay_ms=50)
    for question in questions:
        provider.state.scenarios.add(*question.matched())
    with ThreadPoolExecutor(16) as users:
        answers = list(users.map(lambda question: ask(service, question), questions))
    assert [answer.status == 200 for answer in answers] == [q.answered for q in questions]
    return judge(provider.state.journal.records(wait=SILENCE_S))


def test_the_judge_finds_nothing(service: Service, provider: LLMockServer) -> None:
    questions = script()
    answers: dict[str, Told] = {}

    def remembered(service: Service, question: Question) -> Told:
        answers[question.model] = careful(service, question)
        return answers[question.model]

    verdict = verdict_on(service, provider, questions, ask=remembered)
    print(verdict.render())
    whole = {
        question.model
        for question in questions
        if answers[question.model].is_whole
        and told(service, question).text == answers[question.model].text
    }
    assert len(verdict.calls) >= len(questions) >= 200
    assert verdict.faults >= len(questions)
    assert [found for found in verdict.findings if not is_mistaken(found, verdict, whole)] == []


_CUTS = {"truncated_stream_accepted", "gave_up", "malformed_chunk_ignored"}


def is_mistaken(found: Finding, verdict: Verdict, whole: set[str]) -> bool:
    """Findings that the judge cannot be sure of. `whole` names the models with a complete answer.

    A stream that is cut behind its finish reason is complete: the same question, asked once more
    without a fault, has the same text. The judge counts such a cut as a broken answer.

    `no_backoff`: of two waits it wants the second to be longer. With full jitter each is drawn from
    zero to a bound that doubles: one call in four looks wrong, and none is. Whether the bound
    doubles shows over many calls, and the next test looks at them.

    `malformed_chunk_ignored`: it means "the client did not disconnect", and is sometimes reported for a stream that had
    more to send when the client did. The chunks that were not sent are the proof.
    """
    last = verdict.calls[found.call - 1].last
    if last.model in whole and found.code in _CUTS:
        return True
    if found.code == "malformed_chunk_ignored":
        return last.chunks_sent < CHUNKS[last.provider]
    return found.code == "no_backoff"


def test_waits_without_a_retry_after_grow(service: Service, provider: LLMockServer) -> None:
    twice = Question((Fail(500, times=2),), provider="openai")
    questions = [replace(twice, model=f"growing-{i}") for i in range(48)]
    waits = [waits_s(call) for call in verdict_on(service, provider, questions).calls]
    first, second = (mean(wait) for wait in zip(*waits, strict=True))
    assert 0.5 * 0.1 < first < second


def waits_s(call: Call) -> tuple[float, float]:
    first, second, third = call.attempts
    return second.started_at - first.ended_at, third.started_at - second.ended_at


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(Fail(429, code="insufficient_quota"), id="no-money"),
        pytest.param(Fail(503, retry_after=3600), id="an-hour"),
    ],
)
def test_calls_that_the_judge_would_retry_are_not_retryable(
    service: Service, provider: LLMockServer, failure: Fail
) -> None:
    """A retry does not fill an empty account, and no open request waits for an hour."""
    question = Question(
        (failure,), answered=False, provider="openai", model=f"hopeless-{failure.status}"
    )
    verdict = verdict_on(service, provider, [question])
    assert [(found.code, found.severity) for found in verdict.findings] == [("gave_up", "warning")]


def test_the_judge_would_notice(service: Service, provider: LLMockServer) -> None:
    """The judge detects a user that takes half an answer for a whole one."""
    question = Question(
        (StreamFault("truncate", after_chunks=5),),
        provider="openai",
        model="half",
        stream=True,
    )
    verdict = verdict_on(service, provider, [question], ask=told)
    assert [found.code for found in verdict.errors] == ["truncated_stream_accepted"]
