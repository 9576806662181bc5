from app.settings import Settings


def untouched() -> Settings:
    """The defaults, whatever files lie around."""
    return Settings(
        _env_file=None
    )  # pyright: ignore[reportCallIssue]  # pydantic-settings knows it
