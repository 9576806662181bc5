from dataclasses import replace
from pathlib import Path

import pytest

from app.cache import NoCache
from app.llm.guards.cached import Cached
from app.llm.prompts import PromptError, read_prompt, render
from app.llm.types import Message, PromptVersion
from tests.llm.samples import REQUEST

GOOD = """
name = "greeting"
version = 3
variables = ["guest", "host"]
temperature = 0.5
top_p = 0.9
max_tokens = 64

[[messages]]
role = "system"
content = '''
You are {host}. Answer like {"greeting": "…"}, and not like { host }.
'''

[[messages]]
role = "user"
content = "{guest} arrives."
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "greeting.toml"


def test_a_prompt_is_rendered_with_its_values_and_parameters(path: Path) -> None:
    path.write_text(GOOD)
    request = render(read_prompt(path, "guest", "host"), tenant="acme", guest="Ada", host="Bob")
    assert request.messages == (
        Message("system", 'You are Bob. Answer like {"greeting": "…"}, and not like { host }.'),
        Message("user", "Ada arrives."),
    )
    assert (request.temperature, request.top_p, request.max_tokens) == (0.5, 0.9, 64)
    assert request.prompt == PromptVersion(name="greeting", version=3)
    assert request.tenant == "acme"


def test_a_variable_inside_a_value_is_text(path: Path) -> None:
    path.write_text(GOOD)
    request = render(read_prompt(path, "guest", "host"), guest="{host}\\1", host="Bob")
    assert request.messages[1].text == "{host}\\1 arrives."


@pytest.mark.parametrize("values", [{"guest": "Ada"}, {"guest": "Ada", "host": "", "more": ""}])
def test_other_variables_than_those_of_the_prompt_are_not_rendered(
    path: Path, values: dict[str, str]
) -> None:
    path.write_text(GOOD)
    with pytest.raises(TypeError, match="greeting has these variables: guest, host"):
        render(read_prompt(path, "guest", "host"), **values)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        pytest.param("{host}.", "{hots}.", r"\{hots\} in a message is not in `var", id="mistyped"),
        pytest.param("{host}.", "Bob.", r"no message has the variable \{host\}", id="unused"),
        pytest.param('"guest", ', "", r"\{guest\} in a message is not in `var", id="unlisted"),
        pytest.param('"greeting"', '"hello"', "name: must be 'greeting'", id="another name"),
        pytest.param("version = 3", "version = 0", "version: .*greater than", id="version 0"),
        pytest.param("version = 3", 'version = "3"', "version: .*integer", id="version as text"),
        pytest.param("version = 3", "", "version: Field required", id="no version"),
        pytest.param("top_p", "topp", "topp: Extra inputs", id="unknown parameter"),
        pytest.param("0.5", "2.5", "temperature: .*less than", id="too hot"),
        pytest.param('"user"', '"usr"', r"messages\[1\]\.role", id="unknown role"),
        pytest.param("[[mess", "[mess", "is not TOML", id="no TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_reason(
    path: Path, old: str, new: str, why: str
) -> None:
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(PromptError, match=rf"greeting\.toml: .*{why}"):
        read_prompt(path, "guest", "host")


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        pytest.param(["guest"], r"\{host\} in a message is not in the code", id="missing"),
        pytest.param(["guest", "host", "day"], r"has the variable \{day\}", id="one too many"),
    ],
)
def test_a_file_that_differs_from_the_code_is_refused(
    path: Path, variables: list[str], why: str
) -> None:
    path.write_text(GOOD)
    with pytest.raises(PromptError, match=why):
        read_prompt(path, *variables)


def test_a_missing_file_is_refused_with_its_name(path: Path) -> None:
    with pytest.raises(PromptError, match=r"greeting\.toml: cannot be read"):
        read_prompt(path)


def test_versions_of_a_prompt_with_the_same_text_share_an_answer() -> None:
    versions = [PromptVersion(name="greeting", version=version) for version in (1, 2)]
    asked = [REQUEST, *(replace(REQUEST, prompt=version) for version in versions)]
    assert len({Cached(NoCache()).key(request) for request in asked}) == 1
