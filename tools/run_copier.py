"""Copier's command, without the work that it repeats for every file. A wrong answer prints one line.

For each file that it writes, Copier 9.19 starts a process of Git, to correct the index of a repository
with `core.fileMode=false` in which the file is committed; and it compiles the file's path with Jinja
several times. Here the destination is new, so no file of it is committed. The version of Copier is locked;
one without this method runs as it is.

Usage: python -m tools.run_copier [ARGUMENT OF COPIER]…
"""

import runpy
import sys
from collections.abc import Callable
from typing import Any

import jinja2
from copier._main import Worker

Compile = Callable[..., Any]

# The step for which Copier starts a process of Git.
INDEX_STEP = "_sync_git_index_executable_bit"


def main() -> None:
    sys.tracebacklimit = 0
    if hasattr(Worker, INDEX_STEP):
        setattr(Worker, INDEX_STEP, lambda *_: None)
    jinja2.Environment.compile = compiling_each_text_once()  # type: ignore[method-assign]
    runpy.run_module("copier", run_name="__main__", alter_sys=True)


def compiling_each_text_once() -> Compile:
    """Jinja's `compile`, with a memory."""
    compiled: dict[tuple[object, ...], object] = {}
    compile_anew: Compile = jinja2.Environment.compile

    def compile_or_remember(jinja: jinja2.Environment, *source: object, **how: object) -> object:
        key = (type(jinja), syntax_of(jinja), source, *how.items())
        if key not in compiled:
            compiled[key] = compile_anew(jinja, *source, **how)
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


if __name__ == "__main__":
    main()
