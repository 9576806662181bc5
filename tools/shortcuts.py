"""Shortcuts through Copier, for the work that it repeats for every file. The result is the same.

For each file that it writes, Copier 9.19 starts a process of Git, to correct the index of a repository
with `core.fileMode=false` in which the file is committed. It renders each part of the file's path as a
template, for which it collects all answers again, and compiles these templates several times.

Here the destination is new, so no file of it is committed. A text without template syntax is the same after
rendering. The version of Copier is locked; one without these methods runs as it is.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
from copier._main import Worker

# A method of a class, and the one that replaces it.
Shortcut = tuple[type, str, object]
Compile = Callable[..., Any]
Render = Callable[..., str]

# The step for which Copier starts a process of Git.
INDEX_STEP = "_sync_git_index_executable_bit"
RENDER_STEP = "_render_string"
ANSWERS_PATH = "answers_relpath"


def take() -> None:
    for owner, name, replacement in shortcuts():
        setattr(owner, name, replacement)


def shortcuts() -> Iterator[Shortcut]:
    yield jinja2.Environment, "compile", compiling_each_text_once()
    if hasattr(Worker, INDEX_STEP):
        yield Worker, INDEX_STEP, lambda *_: None
    if hasattr(Worker, RENDER_STEP):
        yield Worker, RENDER_STEP, rendering_only_templates()
    if hasattr(Worker, ANSWERS_PATH):
        yield Worker, ANSWERS_PATH, property(answers_path_without_rendering())


def compiling_each_text_once() -> Compile:
    """Jinja's `compile`, with a memory."""
    compiled: dict[tuple[object, ...], object] = {}
    compile_anew: Compile = jinja2.Environment.compile

    def compile_or_remember(jinja: jinja2.Environment, *source: object, **how: object) -> object:
        key = (type(jinja), syntax_of(jinja), source, *how.items())
        if key not in compiled:
            compiled[key] = compile_anew(jinja, *source, **how)
        elif isinstance(source[0], str):
            jinja.preprocess(source[0])  # Copier's extension forgets the `yield` of the text before
        return compiled[key]

    return compile_or_remember


def syntax_of(jinja: jinja2.Environment) -> tuple[object, ...]:
    """The input of its compiler; the names of filters are looked up when a template runs."""
    return (
        *(jinja.block_start_string, jinja.block_end_string),
        *(jinja.variable_start_string, jinja.variable_end_string),
        *(jinja.comment_start_string, jinja.comment_end_string),
        *(jinja.trim_blocks, jinja.lstrip_blocks, jinja.keep_trailing_newline),
        *(jinja.undefined, *sorted(jinja.extensions)),
    )


def rendering_only_templates() -> Render:
    """Copier's `_render_string`, which collects the answers only for a text with template syntax."""
    render: Render = getattr(Worker, RENDER_STEP)

    def render_or_return(worker: Worker, text: str, *context: object, **named: object) -> str:
        if is_plain(worker.jinja_env, text):
            return worker.jinja_env.preprocess(text)  # as above
        return render(worker, text, *context, **named)

    return render_or_return


def answers_path_without_rendering() -> Callable[[Worker], Path]:
    render: Callable[[Worker], Path] = getattr(Worker, ANSWERS_PATH).fget

    def path_of(worker: Worker) -> Path:
        path = str(worker.answers_file or worker.template.answers_relpath)
        return Path(path) if is_plain(worker.jinja_env, path) else render(worker)

    return path_of


def is_plain(jinja: jinja2.Environment, text: object) -> bool:
    """Whether the text is its own rendering: it is one line without a delimiter."""
    delimiters = (
        *(jinja.block_start_string, jinja.variable_start_string, jinja.comment_start_string),
        *filter(None, (jinja.line_statement_prefix, jinja.line_comment_prefix)),
        *("\n", "\r"),
    )
    return isinstance(text, str) and not any(mark in text for mark in delimiters)
