"""The command line of `python -m app`: serve, run the jobs of the queue, or show the configuration."""

import argparse
import sys

from app.configuration import origins, sources
from app.configuration.confidential import mask_secrets
from app.server import serve
from app.settings import Settings, load
from app.telemetry.redaction import KNOWN


def main() -> None:
    wanted = _arguments().parse_args()
    if wanted.command == "config":
        settings = load()
        mask_secrets(settings)
        _say(_checked(settings) if wanted.check else _shown(settings, as_json=wanted.json))
    else:
        serve(reload=wanted.reload, is_worker=wanted.command == "worker")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app", description="Serve the API.")
    parser.add_argument("--reload", action="store_true", help="restart when the source changes")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("worker", help="run the jobs of the queue")
    config = commands.add_parser(
        "config", help="show the effective settings and their sources, with secrets masked"
    )
    config.add_argument("--check", action="store_true", help="only check that it can start")
    config.add_argument("--json", action="store_true", help="for programs")
    return parser


def _checked(settings: Settings) -> str:
    return f"The configuration is valid for {settings.app_env}."


def _shown(settings: Settings, *, as_json: bool) -> str:
    rows = origins.rows(settings, sources.layers(Settings))
    return origins.as_json(rows) if as_json else origins.as_table(rows)


def _say(text: str) -> None:
    sys.stdout.write(KNOWN.hide(text) + "\n")
    for name, guess in sources.mistyped(Settings).items():
        sys.stderr.write(KNOWN.hide(f"{name} is not a setting; did you mean {guess}?\n"))
