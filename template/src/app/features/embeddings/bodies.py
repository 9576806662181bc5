"""The JSON bodies of `POST /v1/embeddings`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field

from app.api.inputs import NOT_BLANK_PATTERN, RequestBody

# With the limit of a body that leaves 200 bytes for each, and the answer has 300 MB.
MAX_TEXTS = 10_000
# Models take some 8,000 tokens, of about four characters. What is below and still too long for one,
# the provider refuses.
MAX_TEXT_CHARS = 32_768


class EmbeddingsBody(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"texts": ["The Zugspitze", "A mountain in Bavaria"]}]},
    )

    # One error is enough: ten thousand take 20 ms to find.
    texts: Annotated[list[str], FailFast()] = Field(
        min_length=1,
        max_length=MAX_TEXTS,
        description="At least one text must not be blank.",
        json_schema_extra={"contains": {"pattern": NOT_BLANK_PATTERN}},
    )


class EmbeddedText(BaseModel):
    """One text's vector, or why it has none."""

    index: int
    embedding: list[float] | None
    error: str | None


class EmbeddingsAnswer(BaseModel):
    """`items` are in the order of the texts."""

    model: str
    items: list[EmbeddedText]
