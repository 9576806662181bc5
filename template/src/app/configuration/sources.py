"""The sources of the settings, and their precedence: the source nearest to the process wins.

In this order: the environment, `.env.<APP_ENV>`, `.env`, the files of SECRETS_DIR, the secrets
manager, `config.<APP_ENV>.yaml`, `config.yaml`, and the defaults in `app.settings`. So dev, staging
and prod use the same image and differ only in the files and variables around it.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic_settings import BaseSettings

from app.configuration import clients, names, providers, rules
from app.configuration.env_file import variables_in
from app.configuration.layer import ENVIRONMENT, Layer, Nested, from_variables, merged
from app.configuration.secrets.mounted import mounted
from app.configuration.secrets.store import fetched, store_of
from app.configuration.text_file import SourceError

DOTENV = Path(".env")

_APP_ENVS = {"dev", "staging", "prod"}

# From this similarity on, an unknown variable is a mistyped setting; below it, another program's.
_TYPO = 0.88


def layers(
    settings_cls: type[BaseSettings], given: Nested | None = None, dotenv: Path | None = DOTENV
) -> list[Layer]:
    """Read all sources, the winning ones first; if `dotenv` is None, no files are read.

    Raises `SourceError` for a file or a secrets manager that cannot be read.
    """
    outside = [
        Layer(settings_cls, "argument", given or {}),
        from_variables(settings_cls, ENVIRONMENT, os.environ),
    ]
    if dotenv is None:
        return outside
    shared = _dotenv(settings_cls, dotenv)
    app_env = _app_env([*outside, shared])
    own = _dotenv(settings_cls, _of(app_env, dotenv))
    near = [*outside, own, shared]
    far = _yaml(settings_cls, near, app_env)
    secret = _secret(settings_cls, near, far, required=app_env != "dev")
    _at_its_place(("app_env",), app_env, [own, *secret, *far])
    return [*near, *secret, *far]


def files(settings_cls: type[BaseSettings]) -> list[Path]:
    """The files that the next start would read, existing or not."""
    near = _nearest(settings_cls)
    config = _config_file(near)
    return [*_dotenvs(near), config, _of(_app_env(near), config)]


def mistyped(settings_cls: type[BaseSettings]) -> dict[str, str]:
    """Variables that the settings do not read, each with the name that was probably meant.

    They do not stop the start: the environment also contains variables of other programs.
    """
    known = names.variables(settings_cls)
    given = set(os.environ).union(*map(variables_in, _dotenvs(_nearest(settings_cls))))
    upper = {name.upper() for name in given}
    unread = {name.replace("__", "_", 1) for name in upper if not _is_named(name)}
    guesses = {name: _guess(name, known) for name in sorted(unread - set(known))}
    return {name: guess for name, guess in guesses.items() if guess is not None}


def _is_named(variable: str) -> bool:
    return (providers.path_of(variable) or clients.path_of(variable)) is not None


def _guess(name: str, known: Collection[str]) -> str | None:
    if name.startswith(providers.PREFIX[:-1]):
        return providers.SPELLING
    if name.startswith(clients.PREFIX[:-1]):
        return clients.SPELLING
    return names.nearest(name, known, likeness=_TYPO)


def _nearest(settings_cls: type[BaseSettings]) -> list[Layer]:
    """The layers that decide which other files are read."""
    environment = from_variables(settings_cls, ENVIRONMENT, os.environ)
    return [environment, _dotenv(settings_cls, DOTENV)]


def _dotenvs(near: Sequence[Layer]) -> list[Path]:
    return [DOTENV, _of(_app_env(near), DOTENV)]


def _dotenv(settings_cls: type[BaseSettings], path: Path) -> Layer:
    return from_variables(settings_cls, str(path), variables_in(path))


def _of(app_env: str, path: Path) -> Path:
    """The path's variant for one environment: `.env.prod`, `config.prod.yaml`."""
    suffix = path.suffix
    return path.with_name(f"{path.name.removesuffix(suffix)}.{app_env}{suffix}")


def _app_env(near: Sequence[Layer]) -> str:
    """APP_ENV for choosing files; an invalid value is reported later, by the settings."""
    named = str(merged(near).get("app_env", "dev")).strip().lower()
    return named if named in _APP_ENVS else "dev"


def _config_file(near: Sequence[Layer]) -> Path:
    return Path(str(merged(near).get("config_file", rules.CONFIG_FILE)))


def _yaml(settings_cls: type[BaseSettings], near: Sequence[Layer], app_env: str) -> list[Layer]:
    config = _config_file(near)
    paths = [path for path in (_of(app_env, config), config) if os.path.lexists(path)]
    if not paths:
        return []
    from app.configuration.yaml_file import from_yaml  # noqa: PLC0415 - most starts need no YAML

    found: list[Layer] = [from_yaml(settings_cls, path) for path in paths]
    _at_its_place(("config_file",), None, found)
    return found


def _secret(
    settings_cls: type[BaseSettings],
    near: Sequence[Layer],
    far: Sequence[Layer],
    *,
    required: bool,
) -> list[Layer]:
    """Mounted files are read first, because they may contain the credentials of the manager."""
    found: list[Layer] = []
    if (directory := store_of(merged([*near, *far])).secrets.dir) is not None:
        variables = mounted(directory, lambda name: names.path_of(name, settings_cls) is not None)
        found.append(from_variables(settings_cls, directory, variables))
    store = store_of(merged([*near, *found, *far]))
    if store.secrets.manager is not None:
        origin = f"{store.secrets.manager}: {store.secrets.name}"
        found.append(from_variables(settings_cls, origin, fetched(store, required=required)))
    return found


def _at_its_place(path: names.FieldPath, effective: str | None, elsewhere: Sequence[Layer]) -> None:
    """Refuse a setting that decides which files are read, if it is in a file that is read later."""
    for layer in elsewhere:
        if layer.has(path) and str(layer.values[path[0]]).strip().lower() != effective:
            raise SourceError(
                names.variable(path),
                f"must be set in the environment or in .env, not in {layer.origin}",
            )
