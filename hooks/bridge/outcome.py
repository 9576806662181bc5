"""Writes the answers file and the final message, from the same templates as Copier."""

import shutil
import tempfile
from pathlib import Path

from bridge.config import copier_jinja, read_config
from bridge.context import Context
from bridge.layout import ANSWERS_TEMPLATE
from bridge.origin import Origin

ANSWERS_FILE = ".copier-answers.yml"


def write_answers(run: Context, found: Origin) -> None:
    """Add the file to the directory that Cookiecutter renders, so that its flags apply to it."""
    remembered = {"_src_path": found.address, **run.answers}
    if found.commit:
        remembered["_commit"] = found.commit
    (run.directory / ANSWERS_FILE).write_bytes(rendered_answers(run.root, remembered))


def rendered_answers(root: Path, remembered: dict[str, str]) -> bytes:
    source = (root / ANSWERS_TEMPLATE).read_text(encoding="utf-8")
    return copier_jinja(root).from_string(source).render(_copier_answers=remembered).encode()


def write_next_steps(run: Context, project: Path) -> None:
    """Write the message, which post_gen_project prints."""
    text = next_steps(run.root, run.answers, project)
    (run.root / "next_steps.txt").write_text(text, encoding="utf-8")


def next_steps(root: Path, answers: dict[str, str], project: Path) -> str:
    """The message that Copier prints after it has made a project."""
    message = copier_jinja(root).from_string(read_config(root)["_message_after_copy"])
    return message.render(answers, _copier_conf={"dst_path": project})


def remove_copy(root: Path) -> None:
    """Remove Cookiecutter's copy of the repository, which Cookiecutter keeps after a refusal."""
    made = root.parent  # created by tempfile.mkdtemp(prefix="cookiecutter") for this copy alone
    if made.name.startswith("cookiecutter") and made.parent.samefile(tempfile.gettempdir()):
        shutil.rmtree(made)
