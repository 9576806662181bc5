"""`tools.run_copier` makes the same files as Copier, and renders what is a template."""

import sys
from pathlib import Path

import jinja2
import pytest

from tests.engines import REPOSITORY, git, release, run, tree
from tools.shortcuts import is_plain

FILES = {
    "copier.yml": "name: {type: str, default: some}\n_envops: {variable_start_string: '[[', variable_end_string: ']]'}\n",
    "[[_copier_conf.answers_file]].jinja": "[[ _copier_answers|to_nice_yaml ]]",
    "[[ name ]]/{% if name == 'some' %}kept{% endif %}.txt.jinja": "[[ name ]]",
    "[[ name ]]/{% if name == 'other' %}left out{% endif %}": "",
    "{% yield each from ['a', 'b'] %}[[ each ]]{% endyield %}/plain.txt": "{{ not rendered }}",
    "plain/{{ no delimiter here }}.txt": "[[ name ]]",
}


@pytest.mark.slow
def test_the_shortcuts_change_no_file(tmp_path: Path) -> None:
    template = tmp_path / "template"
    for name, text in FILES.items():
        (template / name).parent.mkdir(parents=True, exist_ok=True)
        (template / name).write_text(text)
    git(tmp_path, "init", "--quiet", str(template))
    release(template, "v1.0.0")
    made = {}
    for module in ("copier", "tools.run_copier"):
        directory = tmp_path / module
        copy = ["copy", "--quiet", "--defaults", str(template), str(directory)]
        run(sys.executable, "-m", module, *copy, cwd=REPOSITORY)
        made[module] = tree(directory)
    assert made["tools.run_copier"] == made["copier"]
    assert {"some/kept.txt", "a/plain.txt", "b/plain.txt"} <= made["copier"].keys()


@pytest.mark.parametrize("text", ["plain.py", "a { b } c", "", ".copier-answers.yml", "[[ name ]]"])
def test_a_text_without_a_delimiter_is_plain(text: str) -> None:
    assert is_plain(jinja2.Environment(), text)  # noqa: S701


@pytest.mark.parametrize("text", ["{{ name }}", "{% if a %}", "{# note #}", "a\r\nb", "a\n", None])
def test_a_text_that_rendering_may_change_is_not_plain(text: str | None) -> None:
    assert not is_plain(jinja2.Environment(), text)  # noqa: S701


def test_the_delimiters_of_a_template_count() -> None:
    jinja = jinja2.Environment(variable_start_string="[[", line_statement_prefix="%%")  # noqa: S701
    assert not is_plain(jinja, "[[ name ]]")
    assert not is_plain(jinja, "%% if name")
    assert is_plain(jinja, "{{ name }}")
