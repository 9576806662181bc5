"""The recipes of the service's CONTRIBUTING.md work, and the typical mistake of each is refused by the rule's name.

A recipe is a patch in `tests/recipes/`. Its last command is read from CONTRIBUTING.md.
"""

import re
import shlex
from dataclasses import dataclass

import pytest

from tests.edits import substitute
from tests.engines import REPOSITORY, run
from tests.service import Service, generate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATCHES = REPOSITORY / "tests/recipes"
GUIDE = (REPOSITORY / "template/CONTRIBUTING.md").read_text()
LAST = re.compile(r"^## ([^\n]+)\n(?:(?!^## ).)*?^Ends in: `([^`]+)`\.$", re.MULTILINE | re.DOTALL)
COMMANDS = dict(LAST.findall(GUIDE))


@dataclass(frozen=True)
class Mistake:
    """An edit of the right result, and words of the message that refuses it."""

    file: str
    old: str
    new: str
    message: str


@dataclass(frozen=True)
class Recipe:
    heading: str
    mistake: Mistake
    name: str = ""  # in the place of <name> in the last command
    steps: tuple[str, ...] = ()  # commands between the patch and the last command


RECIPES = {
    "provider": Recipe(
        "Add a compatible provider",
        Mistake(".env", "https://llm.acme.test/v1", "llm.acme.test", "PROVIDERS__ACME__BASE_URL"),
    ),
    "language": Recipe(
        "Add an API language",
        Mistake(
            "src/app/llm/providers/registry.py",
            '    "tgi": API(TGI),\n',
            '    "text-generation": API(TGI),\n',
            "PROVIDERS__OWN__API: must be one of",
        ),
        name="tgi",
    ),
    "endpoint": Recipe(
        "Add an endpoint",
        Mistake(
            "src/app/features/summarize/router.py",
            "import ChatRequest, LLMResponse, Message\n\n",
            "import ChatRequest, LLMResponse, Message\nfrom app.settings import load\n\n"
            "MAX_TOKENS = load().max_tokens\n",
            "Only the composition roots read the settings BROKEN",
        ),
        name="summarize",
    ),
    "structured": Recipe(
        "Add an endpoint with structured output",
        Mistake(
            "src/app/features/triage/prompts/ticket.toml",
            "Classify it as JSON.",
            "Sort it.",
            "--snapshot-update",
        ),
        name="triage",
    ),
    "tool": Recipe(
        "Add a tool",
        Mistake(
            "src/app/features/convert/router.py",
            '    """Convert miles to kilometres."""\n',
            "",
            "kilometres has no docstring",
        ),
        name="convert",
    ),
    "guard": Recipe(
        "Add a guard",
        Mistake(
            "src/app/llm/guards/screened.py",
            "request: R, call",
            "request: ChatRequest, call",
            "incompatible with supertype",
        ),
        name="screened",
        steps=("make walk PAGE=docs/one-request.md",),
    ),
    "setting": Recipe(
        "Add a setting that reaches an endpoint",
        Mistake(
            ".env.example",
            "# CONTACT=the platform team\n",
            "",
            "add to .env.example: a comment, and `# NAME=default`",
        ),
        name="about",
    ),
    "metric": Recipe(
        "Add a metric and a log event",
        Mistake(
            "docs/observability.md",
            "| `chat.cut_short` |",
            "| `chat.cut` |",
            "docs/observability.md needs, under Events:",
        ),
        name="chat",
        steps=("make test ARGS=tests/observability NATIVE=1",),
    ),
    "prompt": Recipe(
        "Change a prompt",
        Mistake(
            "src/app/features/extract/prompts/invoice.toml",
            "in the language of the invoice",
            "in English",
            "--snapshot-update",
        ),
    ),
    "evaluation": Recipe(
        "Add an evaluation case",
        Mistake(
            "evals/datasets/service.jsonl",
            '"good-night", "question"',
            '"good-night", "questions"',
            "service.jsonl:",
        ),
    ),
    "secrets-manager": Recipe(
        "Add a secrets manager",
        Mistake(
            "tests/configuration/test_configuration_canaries.py",
            "DOPPLER",
            "DOPLER",
            "DOPPLER_TOKEN",
        ),
    ),
}
REMOVAL = "Remove an example endpoint"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Service:
    service = generate(tmp_path_factory.mktemp("recipes") / "service")
    service.run("make", "install")
    return service


@pytest.fixture
def service(installed: Service) -> Service:
    """The service without changes of other tests, and with the caches of its tools."""
    run("git", "-C", str(installed.path), "reset", "--quiet", "--hard")
    run("git", "-C", str(installed.path), "clean", "-fdq")
    (installed.path / ".env").unlink(missing_ok=True)
    return installed


def follow(service: Service, recipe: Recipe, patch: str) -> None:
    service.run("git", "apply", str(PATCHES / f"{patch}.patch"))
    for step in recipe.steps:
        service.run(*shlex.split(step))


def last_command(recipe: Recipe) -> list[str]:
    command = shlex.split(COMMANDS[recipe.heading].replace("<name>", recipe.name))
    # One worker, since there is another test on the other processor.
    return ["env", "PYTEST_XDIST_AUTO_NUM_WORKERS=1", *command, "NATIVE=1"]


def test_every_recipe_has_a_last_command_and_a_patch() -> None:
    headings = re.findall(r"^## (.+)$", GUIDE, re.MULTILINE)
    assert headings == list(COMMANDS)
    assert {*headings} == {recipe.heading for recipe in RECIPES.values()} | {REMOVAL}
    assert {path.stem for path in PATCHES.iterdir()} == RECIPES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_green_and_its_typical_mistake_names_the_rule(
    service: Service, name: str
) -> None:
    recipe = RECIPES[name]
    follow(service, recipe, name)
    service.run(*last_command(recipe))
    mistake = recipe.mistake
    substitute(service.path / mistake.file, mistake.old, mistake.new)
    with pytest.raises(AssertionError) as refused:
        service.run(*last_command(recipe))
    assert mistake.message in str(refused.value)
