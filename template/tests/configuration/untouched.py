from app.settings import Settings


def untouched() -> Settings:
    """The defaults, without any file."""
    # pydantic-settings knows this argument, and tells mypy of it only.
    return Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
