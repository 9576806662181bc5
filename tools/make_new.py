"""What `make new` does before and after Copier, which it runs without output.

Before: refuse misspelt answers. After: record the remote, and print a summary and the next steps.

Usage: python -m tools.make_new check [OPTION OF COPIER]…
       python -m tools.make_new finish DIRECTORY [OPTION OF COPIER]…
"""

import argparse
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from bridge import remote
from bridge.config import questions_of, read_config
from bridge.origin import of_directory
from bridge.outcome import ANSWERS_FILE, next_steps, rendered_answers

TEMPLATE = Path(__file__).parent.parent
OF_COPIER = {"_src_path", "_commit"}  # in an answers file, which may be given as --data-file


def read_options(arguments: list[str]) -> argparse.Namespace:
    """Those of Copier's options that matter here; the other letters, because they may stand in one word."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for letter in "CTfglnw":
        parser.add_argument(f"-{letter}", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    for letter in "rsx":
        parser.add_argument(f"-{letter}", action="append")
    parser.add_argument("-d", "--data", action="append", default=[])
    parser.add_argument("--data-file", type=Path)
    parser.add_argument("-a", "--answers-file", default=ANSWERS_FILE)
    return parser.parse_known_args(arguments)[0]


def given_names(options: argparse.Namespace) -> Iterator[str]:
    for pair in options.data:
        yield pair.partition("=")[0]
    if options.data_file and options.data_file.is_file():
        yield from mapping_in(options.data_file)


def mapping_in(file: Path) -> dict[str, Any]:
    """Empty for what is no mapping: Copier refuses that itself."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return {str(name): value for name, value in found.items()} if isinstance(found, dict) else {}


def refusals(given: Iterator[str], questions: list[str]) -> Iterator[str]:
    for name in given:
        if name not in questions and name not in OF_COPIER:
            near = difflib.get_close_matches(name.lower().replace("-", "_"), questions, 1, 0.5)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(questions)}"
            yield f"no question is called {name!r}; {meant}"


def check(template: Path, arguments: list[str]) -> int:
    questions = list(questions_of(read_config(template)))
    refused = list(refusals(given_names(read_options(arguments)), questions))
    for line in refused or remote.warnings(template):
        sys.stderr.write(f"make new: {line}\n")
    return 2 if refused else 0


def finish(template: Path, directory: Path, arguments: list[str]) -> int:
    """Nothing is left to do if Copier wrote no file, as with `--pretend`."""
    options = read_options(arguments)
    file = directory / options.answers_file
    if not file.is_file():
        return 0
    record(template, file)
    if not options.quiet:
        count = sum(path.is_file() for path in directory.rglob("*"))
        steps = next_steps(template, mapping_in(file), directory)
        sys.stdout.write(f"make new: wrote {count} files\n\n{steps}\n")
    return 0


def record(template: Path, file: Path) -> None:
    """Copier remembers this clone and, with changes in it, a commit that no repository has."""
    found = of_directory(template)
    if found.commit:
        remembered = {**mapping_in(file), "_src_path": found.address, "_commit": found.commit}
        file.write_bytes(rendered_answers(template, remembered))


def main(command: str, *rest: str) -> int:
    if command == "check":
        return check(TEMPLATE, list(rest))
    directory, *arguments = rest
    return finish(TEMPLATE, Path(directory), arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
