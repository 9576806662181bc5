"""Ids of batches and files. They come from a provider and go into the path of the next call."""

from typing import Annotated

from pydantic import StringConstraints

BatchId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}$")]
