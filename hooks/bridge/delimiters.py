"""Template delimiters that occur in no answer and in no source file.

Cookiecutter renders answers as templates before a hook sees them. It also renders every file that
it is not told to copy, and copied files ignore `--skip-if-file-exists`. With these delimiters, an
answer such as `{{ 7*7 }}` stays text, which the rules then refuse by name, and files without
template syntax are rendered unchanged.
"""

import re

from jinja2 import Environment

START = "=={"
END = "}=="
JINJA_SETTINGS = {
    "variable_start_string": START,
    "variable_end_string": END,
    "block_start_string": f"{START}%",
    "block_end_string": f"%{END}",
    "comment_start_string": f"{START}#",
    "comment_end_string": f"#{END}",
}
TRANSLATED = {
    "{{": START,
    "}}": END,
    "{%": f"{START}%",
    "%}": f"%{END}",
    "{#": f"{START}#",
    "#}": f"#{END}",
}
DELIMITER = re.compile("|".join(map(re.escape, TRANSLATED)))


def translate(source: str) -> str:
    """Translate a template to these delimiters."""
    jinja = Environment(keep_trailing_newline=True)  # noqa: S701
    return "".join(
        (
            DELIMITER.sub(lambda found: TRANSLATED[found[0]], text)
            if kind.endswith(("_begin", "_end"))
            else text
        )
        for _, kind, text in jinja.lexer.tokeniter(source, None)
    )
