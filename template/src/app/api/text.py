"""What somebody wrote, as the service takes it: trimmed, bounded, in one spelling."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints


def one_spelling(text: str) -> str:
    """Make equal what looks equal, so that it is equal for the cache too."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n"))


Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100_000),
    AfterValidator(one_spelling),
]
