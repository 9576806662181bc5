"""A check for schemathesis: a refused conversation breaks a rule that no schema can express.

These are the rules between messages and tools, and those of one provider.
"""

import re
from typing import Any

import schemathesis

_CONVERSATIONS = {"/v1/chat", "/openai/v1/chat/completions", "/v1/jobs"}
_REFUSED = {400, 422}
_RULES = re.compile(
    "the last message must"
    "|must be the id of a tool call"
    "|a message with the role 'tool' must follow"
    "|a request may have [0-9]+ images"
    "|must name one of the tools"
    "|the names of tools must differ"
    "|'required' needs tools"
    "|The body may have [0-9]+ JSON values"  # a job of many items
    "|must be false: the answers of a job are not streamed"
    "|urn:problem:unsupported-request|unsupported_value"  # the provider has a narrower range, or no tools
)


@schemathesis.check
def refused_by_a_rule_of_conversations(
    _context: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: schemathesis.Case[Any],
) -> None:
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if case.path in _CONVERSATIONS and is_valid and response.status_code in _REFUSED:
        assert _RULES.search(response.text), "a conversation that follows the schema is refused"
