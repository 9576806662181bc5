"""The parts of a message in a request: text and images.

OpenAI's nested form of an image is accepted too: clients have it at hand.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from app.api.inputs import RequestBody, TextOfMany

MAX_PARTS = 100
MAX_URL_CHARS = 2_048
MAX_IMAGE_BYTES = 1_500_000  # as base64, they fit into a body

_DATA_URL = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}")
# Languages of regular expressions differ in what `\s` is. This is all of it, and the control characters.
_INVISIBLE = r"\x00-\x20\x7f-\xa0\s\ufeff"
_HTTPS_URL = re.compile(rf"https://[^{_INVISIBLE}/?#]+[^{_INVISIBLE}]*")
_BASE64_RATIO = 4 / 3
_IMAGE_URL: dict[str, JsonValue] = {"pattern": f"^({_HTTPS_URL.pattern}|{_DATA_URL.pattern})$"}


def _image_url(url: str) -> str:
    if url.startswith("data:"):
        if len(url) > MAX_IMAGE_BYTES * _BASE64_RATIO:
            raise ValueError(f"a data URL may have {MAX_IMAGE_BYTES} bytes; longer: an https URL")
        if not _DATA_URL.fullmatch(url):
            raise ValueError("must be a PNG, JPEG, GIF or WebP image in base64")
    elif len(url) > MAX_URL_CHARS or not _HTTPS_URL.fullmatch(url):
        raise ValueError(f"must be an https URL of {MAX_URL_CHARS} characters, or a data URL")
    return url


ImageURL = Annotated[str, AfterValidator(_image_url), Field(json_schema_extra=_IMAGE_URL)]


class TextPartBody(RequestBody):
    type: Literal["text"]
    text: TextOfMany


class ImagePartBody(RequestBody):
    type: Literal["image"]
    url: ImageURL = Field(
        description="An https URL, which the provider fetches, or a data URL with base64: PNG, "
        f"JPEG, GIF or WebP, at most {MAX_IMAGE_BYTES} bytes."
    )
    detail: Literal["auto", "low", "high"] | None = Field(
        default=None, description="The resolution for the model. Only OpenAI's API has this."
    )


def _flat_image(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict) and value.get("type") == "image_url":
        image = value.get("image_url")
        return {"type": "image", **(image if isinstance(image, dict) else {"url": image})}
    return value


_TEXT, _IMAGE = TypeAdapter(TextPartBody), TypeAdapter(ImagePartBody)


def _of_its_type(value: object, _handler: ValidatorFunctionWrapHandler) -> object:
    is_image = isinstance(value, dict) and value.get("type") == "image"
    return (_IMAGE if is_image else _TEXT).validate_python(value)


PartBody = Annotated[
    TextPartBody | ImagePartBody, WrapValidator(_of_its_type), BeforeValidator(_flat_image)
]
PartBodies = Annotated[list[PartBody], Field(min_length=1, max_length=MAX_PARTS)]
TextPartBodies = Annotated[list[TextPartBody], Field(min_length=1, max_length=MAX_PARTS)]
