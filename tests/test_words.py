"""`tools/words.py`, which `make lint` runs: sentences without an actor fail, plain ones pass."""

from pathlib import Path

import pytest

from tests.engines import git
from tools import words

BAD = {
    "docs.md": "Who waits too long gets an error.\n",
    "docstring.py": '"""The error that nobody expected."""\n',
    "comment.py": "x = 1  # whoever reads this\n",
    "message.py": 'print(f"{1} is somebody\'s key")\n',
    "name.py": "def test_who_waits_is_told() -> None: ...\n",
    "Makefile": "test: ## Whatever everybody wants\n",
    ".env.example": "# A file whose entries come first.\n",
    "vague.md": "What it does is what it says.\n",
}
GOOD = {
    "docs.md": "A caller that waits too long gets an error.\nThe message says what to do."
    + " word" * 400,
    "docstring.py": '"""The unexpected error. Whole words only: whole, somewhat."""\n',
    "identifier.py": "who = 1\n",
    "input.py": 'question = "Who is it?"  # words: allowed\n',
}


@pytest.fixture(autouse=True)
def _repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "--quiet")
    monkeypatch.chdir(tmp_path)


def status(files: dict[str, str]) -> int:
    for name, text in files.items():
        Path(name).write_text(text)
    git(Path(), "add", "--all")
    return words.main([])


@pytest.mark.parametrize("name", BAD)
def test_a_sentence_without_an_actor_fails(name: str) -> None:
    assert status({name: BAD[name]}) == 1


@pytest.mark.parametrize("name", GOOD)
def test_plain_english_passes(name: str) -> None:
    assert status({name: GOOD[name]}) == 0


@pytest.mark.parametrize(
    "name", ["LICENSE", "requirements-dev.txt", "prices.toml", "key_rules.json", "uv.lock"]
)
def test_text_of_others_is_not_read(name: str) -> None:
    assert status({name: "Whoever holds the copyright.\n"} | GOOD) == 0


def test_the_place_of_the_word_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    status({"docs.md": "One line.\nNobody knows.\n"})
    assert "docs.md:2: Nobody: Nobody knows." in capsys.readouterr().out


def test_only_the_given_paths_are_read() -> None:
    status(GOOD | {"bad.md": BAD["docs.md"]})
    assert words.main(["docs.md"]) == 0
    assert words.main(["bad.md"]) == 1


def test_a_path_without_any_text_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert words.main(["misspelt"]) == 2
    assert "no file" in capsys.readouterr().out
