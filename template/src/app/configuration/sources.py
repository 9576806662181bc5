"""Where settings come from, and who wins: what is closer to the process."""

from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
)


def in_order(
    settings_cls: type[BaseSettings],
    init_settings: PydanticBaseSettingsSource,
    env_settings: PydanticBaseSettingsSource,
    dotenv_settings: PydanticBaseSettingsSource,
    file_secret_settings: PydanticBaseSettingsSource,
) -> tuple[PydanticBaseSettingsSource, ...]:
    """Earlier sources win. The `__` twins accept the explicit spelling of a nested name."""
    return (
        init_settings,
        env_settings,
        EnvSettingsSource(settings_cls, env_nested_delimiter="__", env_nested_max_split=None),
        dotenv_settings,
        DotEnvSettingsSource(
            settings_cls,
            env_file=getattr(dotenv_settings, "env_file", None),
            env_nested_delimiter="__",
            env_nested_max_split=None,
        ),
        file_secret_settings,
    )
