"""Prints pre-commit's configuration for a service that is a part of a larger repository.

pre-commit runs each tool in the top directory of the repository; with this configuration the tools
run in the service's directory, and only for its files.

Usage: python scripts/part_checks.py PREFIX    (like services/one/, in the top directory)
"""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml


def configuration(prefix: str) -> dict[str, Any]:
    source = Path(prefix, ".pre-commit-config.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(source)
    for repository in config["repos"]:
        for hook in repository["hooks"]:
            hook.update(in_part(hook, prefix))
    return {"files": f"^{re.escape(prefix)}", **config}


def in_part(hook: dict[str, Any], prefix: str) -> dict[str, str]:
    """The fields of a hook that are different in a part of a repository."""
    changed = {}
    if hook["language"] == "system":
        script = shlex.quote(f"{prefix}scripts/in_part.sh")
        changed["entry"] = f"sh {script} {shlex.quote(prefix)} {hook['entry']}"
    if hook.get("files", "").startswith("^"):
        changed["files"] = f"^{re.escape(prefix)}{hook['files'][1:]}"
    return changed


if __name__ == "__main__":
    json.dump(configuration(sys.argv[1]), sys.stdout, indent=2)  # which is YAML, too
