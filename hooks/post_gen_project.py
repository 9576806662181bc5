"""Cookiecutter renders this and runs it in the new project; it prints Copier's final message."""

import json
from pathlib import Path

CONTEXT = json.loads(r"""=={ {"repository": cookiecutter._repo_dir} | tojson }==""")

if __name__ == "__main__":
    print(Path(CONTEXT["repository"], "next_steps.txt").read_text(encoding="utf-8"))
