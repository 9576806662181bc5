"""Where settings come from, and who wins: what is closer to the process.

The environment, `.env.<APP_ENV>`, `.env`, the files of SECRETS_DIR, the secrets manager,
`config.<APP_ENV>.yaml`, `config.yaml`, and the defaults in `app.settings`. So dev, staging and prod
differ by what lies beside the service, and the image is the same.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dotenv import dotenv_values
from pydantic_settings import BaseSettings

from app.configuration import names, rules
from app.configuration.layer import ENVIRONMENT, Layer, Nested, from_variables, merged
from app.configuration.secrets.mounted import mounted
from app.configuration.secrets.store import fetched, store_of
from app.configuration.unreadable import Unreadable

DOTENV = Path(".env")

_APP_ENVS = {"dev", "staging", "prod"}

# More alike than this, and a variable is one of ours, mistyped. Less, and it is another program's.
_TYPO = 0.88


def layers(
    settings_cls: type[BaseSettings], given: Nested | None = None, dotenv: Path | None = DOTENV
) -> list[Layer]:
    """Read everything, the winners first; without a `dotenv`, no file at all.

    Raises `Unreadable` for a file or a secrets manager that cannot be read.
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
    """The files that the next start would read, whether they are there or not."""
    near = _nearest(settings_cls)
    config = _config_file(near)
    return [*_dotenvs(near), config, _of(_app_env(near), config)]


def mistyped(settings_cls: type[BaseSettings]) -> dict[str, str]:
    """Variables that nothing reads, and the name that was probably meant.

    A guess is no reason to refuse a start: the environment belongs to other programs as well.
    """
    known = names.variables(settings_cls)
    given = set(os.environ).union(*map(_variables_in, _dotenvs(_nearest(settings_cls))))
    unknown = {name.upper().replace("__", "_", 1) for name in given} - set(known)
    guesses = {name: names.nearest(name, known, likeness=_TYPO) for name in sorted(unknown)}
    return {name: guess for name, guess in guesses.items() if guess is not None}


def _nearest(settings_cls: type[BaseSettings]) -> list[Layer]:
    """What decides which other files are read."""
    environment = from_variables(settings_cls, ENVIRONMENT, os.environ)
    return [environment, _dotenv(settings_cls, DOTENV)]


def _dotenvs(near: Sequence[Layer]) -> list[Path]:
    return [DOTENV, _of(_app_env(near), DOTENV)]


def _dotenv(settings_cls: type[BaseSettings], path: Path) -> Layer:
    return from_variables(settings_cls, str(path), _variables_in(path))


def _variables_in(path: Path) -> Mapping[str, str | None]:
    try:
        return dotenv_values(path) if path.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(str(path), f"cannot be read ({type(error).__name__})") from None


def _of(app_env: str, path: Path) -> Path:
    """The file beside this one that is for one environment: `.env.prod`, `config.prod.yaml`."""
    suffix = path.suffix
    return path.with_name(f"{path.name.removesuffix(suffix)}.{app_env}{suffix}")


def _app_env(near: Sequence[Layer]) -> str:
    """The environment, as far as files go; what is none is refused by the settings, later."""
    named = str(merged(near).get("app_env", "dev")).strip().lower()
    return named if named in _APP_ENVS else "dev"


def _config_file(near: Sequence[Layer]) -> Path:
    return Path(str(merged(near).get("config_file", rules.CONFIG_FILE)))


def _yaml(settings_cls: type[BaseSettings], near: Sequence[Layer], app_env: str) -> list[Layer]:
    config = _config_file(near)
    paths = [path for path in (_of(app_env, config), config) if path.is_file()]
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
    """Mounted files come before the manager: one of them may hold what it is asked with."""
    found: list[Layer] = []
    if (directory := store_of(merged([*near, *far])).secrets.dir) is not None:
        variables = mounted(directory, names.variables(settings_cls))
        found.append(from_variables(settings_cls, directory, variables))
    store = store_of(merged([*near, *found, *far]))
    if store.secrets.manager is not None:
        origin = f"{store.secrets.manager}: {store.secrets.name}"
        found.append(from_variables(settings_cls, origin, fetched(store, required=required)))
    return found


def _at_its_place(path: names.FieldPath, effective: str | None, elsewhere: Sequence[Layer]) -> None:
    """Refuse where it comes too late what decides which files are read."""
    for layer in elsewhere:
        if layer.has(path) and str(layer.values[path[0]]).strip().lower() != effective:
            raise Unreadable(
                names.variable(path),
                f"belongs in the environment or in .env, not in {layer.origin}",
            )
