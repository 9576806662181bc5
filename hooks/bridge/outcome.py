"""What is left when all is done, from the same words as Copier's: the answers file, a message."""

import shutil
import tempfile
from pathlib import Path

from bridge import origin
from bridge.config import copier_jinja, read_config
from bridge.context import Context
from bridge.layout import ANSWERS_TEMPLATE

ANSWERS_FILE = ".copier-answers.yml"


def write_answers(run: Context) -> None:
    """Add the file to what Cookiecutter is about to render, so that its flags apply to it too."""
    src_path = origin.address(run.template, run.output_dir, run.root)
    remembered = {"_src_path": src_path, **run.answers}
    if commit := origin.commit(run.root):
        remembered["_commit"] = commit
    source = (run.root / ANSWERS_TEMPLATE).read_text(encoding="utf-8")
    text = copier_jinja(run.root).from_string(source).render(_copier_answers=remembered)
    (run.directory / ANSWERS_FILE).write_bytes(text.encode())


def write_next_steps(run: Context, project: Path) -> None:
    """For post_gen_project, which prints them."""
    message = copier_jinja(run.root).from_string(read_config(run.root)["_message_after_copy"])
    text = message.render(run.answers, _copier_conf={"dst_path": project})
    (run.root / "next_steps.txt").write_text(text, encoding="utf-8")


def remove_copy(root: Path) -> None:
    """Cookiecutter removes its copy of the repository at the end, but not after a refusal."""
    made = root.parent  # by tempfile.mkdtemp(prefix="cookiecutter"), and for this copy alone
    if made.name.startswith("cookiecutter") and made.parent.samefile(tempfile.gettempdir()):
        shutil.rmtree(made)
