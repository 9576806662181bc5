"""The questions: asked alike by both engines, each with a help text, a default and a rule."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.prompt import prompt_for_config
from pytest_copier.plugin import CopierFixture

from tests.engines import REPOSITORY, differences, tree
from tests.questions import QUESTIONS
from tests.renders import Renders

ORDER = [
    "project_name",
    "project_slug",
    "description",
    "author",
    "python_version",
    "lock",
    "ci",
    "license",
    "operations",
    "notebooks",
]
CHOICES = {
    name: question["choices"] for name, question in QUESTIONS.items() if "choices" in question
}
OTHER_TEXTS = {
    "project_name": "N" * 60,
    "project_slug": "a" * 50,
    "description": "O",
    "author": "O",
}


@pytest.fixture
def cookiecutter_json() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REPOSITORY / "cookiecutter.json").read_text())
    return found


def test_the_questions_are_asked_in_this_order(cookiecutter_json: dict[str, Any]) -> None:
    assert list(QUESTIONS) == ORDER
    assert [name for name in cookiecutter_json if not name.startswith("_")] == ORDER


def test_both_ask_in_the_same_words(cookiecutter_json: dict[str, Any]) -> None:
    helps = {name: question["help"] for name, question in QUESTIONS.items()}
    assert cookiecutter_json["__prompts__"] == helps
    assert not [text for text in helps.values() if "[" in text]  # Cookiecutter would style it


def test_both_offer_the_same_choices_and_defaults(cookiecutter_json: dict[str, Any]) -> None:
    for name, question in QUESTIONS.items():
        if name in CHOICES:
            assert cookiecutter_json[name] == CHOICES[name]
            assert question["default"] == CHOICES[name][0]
        elif name != "project_slug":
            assert cookiecutter_json[name] == question["default"]


def test_every_answer_has_a_rule() -> None:
    assert all("choices" in question or "validator" in question for question in QUESTIONS.values())


SLUGS = {
    "AI Service": "ai-service",
    "Foo": "foo",
    "  My   Great_Service! ": "my-great-service",
    "Größe & Übung": "groesse-uebung",
    "Café №5": "cafe-5",
    "Cafe\u0301 decomposed": "cafe-decomposed",
    "Łódź, Señor Ñandú": "lodz-senor-nandu",
    "Über Straße, Ærø": "ueber-strasse-aero",
    "İstanbul \u0131l\u0131k": "istanbul-ilik",
    "Việt Đặng": "viet-dang",
    "Þórður œuf ﬁn": "thordur-oeuf-fin",
    "日本語 🚀 Москва 7b": "b",
    "3D Printing": "d-printing",
    "App": "app-service",
    "FastAPI": "fastapi-service",
    "C3PO / R2-D2": "c3po-r2-d2",
    "x" * 60: "x" * 50,
    "Ä" * 60: "ae" * 25,
    "y " * 30: "-".join("y" * 25),
}


@pytest.mark.parametrize(("name", "slug"), SLUGS.items())
def test_the_slug_is_derived_from_the_name(copier: CopierFixture, name: str, slug: str) -> None:
    assert copier.context(project_name=name)["project_slug"] == slug


@pytest.mark.parametrize(("name", "slug"), SLUGS.items())
def test_cookiecutter_derives_the_same_slug(
    cookiecutter_json: dict[str, Any], name: str, slug: str
) -> None:
    reserved = (REPOSITORY / "hooks/reserved_names.txt").read_text().split()
    questions = {"_reserved_names": reserved, **cookiecutter_json, "project_name": name}
    answers = prompt_for_config({"cookiecutter": questions}, no_input=True)
    assert answers["project_slug"] == slug


def test_the_reserved_names_hold_every_dependency() -> None:
    """A project that is named like its own dependency cannot be installed."""
    lock = (REPOSITORY / "template/requirements-dev.txt").read_text()
    names = re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==", lock, re.MULTILINE)
    normal = {re.sub(r"[-_.]+", "-", name).lower() for name in names}
    assert len(normal) > 20
    reserved = (REPOSITORY / "hooks/reserved_names.txt").read_text().split()
    assert sorted(normal - set(reserved)) == []
    assert len(reserved) == len(set(reserved))


WITH_ANOTHER_ANSWER = [name for name in ORDER if name not in CHOICES or len(CHOICES[name]) > 1]


@pytest.mark.parametrize("name", WITH_ANOTHER_ANSWER)
def test_every_answer_changes_something(lean_template: Path, renders: Renders, name: str) -> None:
    """Besides the answers file. A question that is read by nothing has no place here."""
    other = OTHER_TEXTS.get(name) or CHOICES[name][1]
    with_defaults = tree(renders.by_copier(lean_template, {}))
    after = tree(renders.by_copier(lean_template, {name: other}))
    assert set(differences(with_defaults, after)) - {".copier-answers.yml"}


def test_no_source_text_is_in_a_form_that_looks_alike() -> None:
    """Decomposed umlauts in the slug's table would never match typed ones."""
    text = (REPOSITORY / "copier.yml").read_text()
    assert text == unicodedata.normalize("NFC", text)
