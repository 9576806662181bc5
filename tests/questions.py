"""The questions of `copier.yml`, and answers to them: every single one, and all pairs."""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import yaml

from tests.engines import REPOSITORY

Answers = dict[str, str]
Pairs = set[frozenset[tuple[str, str]]]
CONFIG: dict[str, Any] = yaml.safe_load((REPOSITORY / "copier.yml").read_text())
QUESTIONS: dict[str, dict[str, Any]] = {
    name: question for name, question in CONFIG.items() if not name.startswith("_")
}

AWKWARD = {
    "quotes": """It's "quoted" '''thrice''' and \"""thrice\"""",
    "backslashes": r"C:\new\table \u0041 \\ ends in \\"[:-1],
    "umlauts": "Größe, Übung, çedilla, 日本語",
    "yaml": "- key: &anchor *alias # no comment | > @ ` !tag % {a: [1]}",
    "html": "<b>&amp;</b> & $HOME ${x} $(id) %s }} %} #}",
    "emoji": "🚀 ready 👩‍💻 steady",
    "number": "0123",
    "longest": "long " * 60,
}


def with_text(text: str) -> Answers:
    """The same in every answer that is free text."""
    return {
        "project_name": text[:60],
        "project_slug": "x",
        "description": text,
        "author": text[:100],
    }


def chosen(name: str, choice: str) -> Answers:
    """Answers without the defaults: other tests have rendered these already."""
    return {} if choice == QUESTIONS[name]["default"] else {name: choice}


def single_answers() -> Iterator[tuple[str, Answers]]:
    yield "defaults", {}
    for name, question in QUESTIONS.items():
        for choice in question.get("choices", []):
            if answers := chosen(name, choice):
                yield f"{name}={choice}", answers
    for kind, text in AWKWARD.items():
        yield f"text-{kind}", with_text(text)
    yield "name-umlauts", {"project_name": "Größe & Übung #1"}
    yield "name-quotes", {"project_name": """It's a "service"\\"""}
    yield "name-longest", {"project_name": "N" * 60}
    yield "slug-longest", {"project_slug": "a" * 50}
    yield "slug-shortest", {"project_slug": "x", "project_name": "日"}
    yield "slug-digits", {"project_slug": "v2-api-3d"}


def pairwise_answers() -> Iterator[tuple[str, Answers]]:
    """Any two answers to any two questions occur together in one of these, or in a single answer."""
    texts = list(AWKWARD.values())[:4]
    factors = {
        name: question.get("choices") or [text[:100] for text in texts]
        for name, question in QUESTIONS.items()
        if name not in {"project_name", "project_slug"}
    }
    open_pairs = {
        frozenset([(one, a), (other, b)])
        for one, other in combinations(factors, 2)
        for a, b in product(factors[one], factors[other])
    }
    for _, answers in single_answers():
        open_pairs = without(open_pairs, with_defaults(answers))
    number = 0
    while open_pairs:
        answers = dict(min(open_pairs, key=sorted))
        for name, values in factors.items():
            if name not in answers:
                answers[name] = max(
                    values, key=lambda value: covers({**answers, name: value}, open_pairs)
                )
        open_pairs = without(open_pairs, answers)
        number += 1
        yield f"pairs-{number}", answers


def with_defaults(answers: Answers) -> Answers:
    choices = {name: asked["default"] for name, asked in QUESTIONS.items() if "choices" in asked}
    return {**choices, **answers}


def without(pairs: Pairs, answers: Answers) -> Pairs:
    return {pair for pair in pairs if not pair <= answers.items()}


def covers(answers: Answers, pairs: Pairs) -> int:
    return sum(pair <= answers.items() for pair in pairs)


CHOICE_COMBINATIONS: dict[str, Answers] = {
    "github-mit": {"ci": "github", "license": "MIT", "python_version": "3.13", "lock": "uv"},
    "gitlab-apache": {
        "ci": "gitlab",
        "license": "Apache-2.0",
        "python_version": "3.11",
        "operations": "kubernetes",
        "lock": "poetry",
    },
    "none-proprietary": {
        "ci": "none",
        "license": "Proprietary",
        "python_version": "3.13",
        "operations": "none",
        "notebooks": "none",
    },
}
