"""Validates request bodies; the errors have the providers' wording."""

from typing import TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from mock_api.refusal import RefusalError


class Checked(BaseModel):
    """A request body. Known fields are validated; unknown ones are ignored, as APIs add fields."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


M = TypeVar("M", bound=BaseModel)


def check(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise RefusalError(400, f"The body could not be parsed as JSON: {error}") from error
    except ValidationError as error:
        raise _refusal(error.errors()[0]) from error


def _refusal(detail: ErrorDetails) -> RefusalError:
    kind, message = detail["type"], detail["msg"].removeprefix("Value error, ")
    code = "invalid_value"
    if kind == "missing":
        code, message = "missing_required_parameter", "Field required"
    elif kind.endswith("_type"):
        code = "invalid_type"
    return RefusalError(400, message, field=detail["loc"], code=code)
