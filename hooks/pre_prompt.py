"""Cookiecutter runs this in its temporary copy of the repository, before the first question."""

from pathlib import Path

from bridge.layout import lay_out

if __name__ == "__main__":
    lay_out(Path.cwd())
