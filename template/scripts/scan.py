"""`make scan`: lists known vulnerabilities of the locked packages, with pip-audit and OSV.

    scan.py LOCK [--osv-url=…] …    options are pip-audit's

The exit status is 0 without vulnerabilities, 1 with some, and 3 if OSV could not be asked.
pip-audit itself exits with 0 or 1 in that case, but a missing answer does not mean that there are
none.
"""

import json
import subprocess
import sys
from typing import Any

FOUND, NO_VERDICT = 1, 3
PIP_AUDIT = [
    sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--format=json",
    "--vulnerability-service=osv", "--progress-spinner=off", "--requirement",
]  # fmt: skip


def main(arguments: list[str]) -> int:
    done = subprocess.run([*PIP_AUDIT, *arguments], capture_output=True, text=True, check=False)
    try:
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return no_verdict(done.stderr.strip().rpartition("\n")[2])
    if unknown := [each["name"] for each in dependencies if "skip_reason" in each]:
        return no_verdict(f"OSV does not know {', '.join(unknown)}")
    return verdict(dependencies)


def verdict(dependencies: list[dict[str, Any]]) -> int:
    found = [(each, flaw) for each in dependencies for flaw in each["vulns"]]
    for each, flaw in found:
        fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
        print(f"{each['name']} {each['version']}: {flaw['id']}, fixed in {fixed}")
    print(f"make scan: {len(dependencies)} dependencies, {len(found)} known vulnerabilities")
    return FOUND if found else 0


def no_verdict(reason: str) -> int:
    print(f"make scan: no result, nothing was scanned: {reason}", file=sys.stderr)
    return NO_VERDICT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
