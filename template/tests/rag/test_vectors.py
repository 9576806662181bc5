import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.rag.vectors import (
    BadVectorsError,
    Vectors,
    checked,
    cosine,
    normalised,
    top_k,
)

QUICK = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 2**32 - 1)


def random_vectors(seed: int, count: int, dimension: int) -> Vectors:
    return np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)


def brute_force(query: Vectors, vectors: Vectors, k: int) -> tuple[list[int], list[float]]:
    scores = [cosine(query, vectors[row : row + 1]).item() for row in range(len(vectors))]
    best = sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]
    return best, [scores[row] for row in best]


@QUICK
@given(
    seed=seeds,
    pool=st.integers(1, 30),
    shape=st.tuples(st.integers(1, 80), st.integers(1, 70)),
    queries=st.integers(1, 5),
    k=st.integers(1, 90),
)
def test_the_nearest_are_those_of_brute_force_ties_included(
    seed: int, pool: int, shape: tuple[int, int], queries: int, k: int
) -> None:
    count, dimension = shape
    different = normalised(random_vectors(seed, pool + queries, dimension))
    asked, some = different[:queries], different[queries:]
    vectors = some[np.random.default_rng(seed).integers(0, pool, count)]
    found = top_k(asked, vectors, k)
    for query, rows, scores in zip(asked, found.rows, found.scores, strict=True):
        assert (rows.tolist(), scores.tolist()) == brute_force(query, vectors, k)


@pytest.mark.parametrize("count", [10, 103, 9001])
@pytest.mark.parametrize("queries", [1, 2, 7])
def test_of_equal_vectors_the_first_come_first_wherever_the_product_rounds(
    count: int, queries: int
) -> None:
    one = normalised(random_vectors(1, 1, 300))
    asked = normalised(random_vectors(2, queries, 300))
    found = top_k(asked, np.repeat(one, count, axis=0), 10)
    assert found.rows.tolist() == [list(range(10))] * queries
    assert [len(set(scores)) for scores in found.scores.tolist()] == [1] * queries


def test_scores_that_a_matrix_product_rounds_equal_are_ordered_as_by_brute_force() -> None:
    noise = random_vectors(1, 300, 200) * np.float32(1e-7)
    vectors = normalised((random_vectors(2, 1, 200) + noise).astype(np.float32))
    (query,) = asked = normalised(random_vectors(3, 1, 200))
    assert top_k(asked, vectors, 9).rows[0].tolist() == brute_force(query, vectors, 9)[0]


def test_a_score_does_not_depend_on_other_questions() -> None:
    vectors = normalised(random_vectors(1, 500, 129))
    asked = normalised(random_vectors(2, 9, 129))
    together = top_k(asked, vectors, 20)
    for row, query in enumerate(asked):
        alone = top_k(query[np.newaxis], vectors, 20)
        assert alone.rows[0].tolist() == together.rows[row].tolist()
        assert alone.scores[0].tolist() == together.scores[row].tolist()


@QUICK
@given(seed=seeds, dimension=st.integers(1, 300))
def test_a_score_is_the_cosine(seed: int, dimension: int) -> None:
    a, b = random_vectors(seed, 2, dimension).astype(float).tolist()
    expected = math.fsum(x * y for x, y in zip(a, b, strict=True)) / (
        math.hypot(*a) * math.hypot(*b)
    )
    query, vectors = normalised(checked([a])), normalised(checked([b]))
    assert top_k(query, vectors, 1).scores[0, 0] == pytest.approx(expected, abs=1e-6)
    assert cosine(query[0], vectors)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param([3.0, 4.0], id="ordinary"),
        pytest.param([3e30, -4e30], id="squares too large for a float32"),
        pytest.param([3e-40, 4e-40], id="squares too small for a float32"),
    ],
)
def test_a_normalised_vector_has_the_length_1(row: list[float]) -> None:
    assert math.hypot(*normalised(checked([row]))[0].tolist()) == pytest.approx(1, abs=1e-6)


def test_a_vector_of_zeros_is_like_nothing_and_no_error() -> None:
    nothing, something = checked([[0.0, 0.0]]), checked([[1.0, 2.0]])
    assert normalised(nothing).tolist() == [[0, 0]]
    assert cosine(nothing[0], normalised(something)).tolist() == [0]


def test_a_cosine_is_never_more_than_1() -> None:
    vectors = normalised(random_vectors(1, 200, 33))
    for vector in vectors:
        assert cosine(vector, vectors).max() <= 1
        assert cosine(vector, -vectors).min() >= -1


def test_a_normalised_vector_is_not_changed() -> None:
    vectors = checked([[3.0, 4.0]])
    normalised(vectors)
    assert vectors.tolist() == [[3, 4]]


def test_a_float32_array_is_not_copied() -> None:
    vectors = random_vectors(1, 3, 4)
    assert checked(vectors, dimension=4) is vectors


def test_many_finite_numbers_are_not_taken_for_an_infinite_one() -> None:
    largest = np.full((3, 4), np.finfo(np.float32).max)
    assert checked(largest) is largest


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        pytest.param([[1.0, 2.0], [3.0]], "all of one length", id="ragged"),
        pytest.param([["a", "b"]], "rows of numbers", id="texts"),
        pytest.param([1.0, 2.0], "not 1 dimensions", id="one vector alone"),
        pytest.param([[1.0, 2.0, 3.0]], "dimension 3; 2 is expected", id="another dimension"),
        pytest.param([[0.0, 1.0], [0.0, math.nan]], "vector 1 .* not finite", id="not a number"),
        pytest.param([[math.inf, -math.inf]], "vector 0 .* not finite", id="infinite"),
        pytest.param([[1e300, 0.0]], "vector 0 .* not finite", id="too large"),
    ],
)
def test_vectors_that_cannot_be_compared_are_refused(
    rows: Sequence[Sequence[float]], why: str
) -> None:
    with pytest.raises(BadVectorsError, match=why):
        checked(rows, dimension=2)


def test_vectors_of_two_dimensions_are_never_compared() -> None:
    two, three = random_vectors(1, 1, 2), random_vectors(1, 1, 3)
    for compare in (lambda a, b: cosine(a[0], b), lambda a, b: top_k(a, b, 1)):
        with pytest.raises(BadVectorsError, match="dimension 2; 3 is expected"):
            compare(two, three)


@pytest.mark.parametrize(("queries", "count"), [(0, 3), (2, 0), (0, 0)])
def test_nothing_is_found_where_there_is_nothing(queries: int, count: int) -> None:
    found = top_k(random_vectors(1, queries, 4), random_vectors(1, count, 4), 2)
    assert found.rows.shape == found.scores.shape == (queries, min(2, count))


def test_a_search_for_zero_results_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        top_k(random_vectors(1, 1, 4), random_vectors(1, 1, 4), 0)
