"""Tables of providers' error codes and sentences, for errors that need more than the status.

Providers report the state of an account, an unknown model or a too long prompt with 400, 403 or
429. An error in a 200 or in a stream has no status at all. These tables are data: a line is a code,
or a pattern for a sentence, with the server that sends it.
"""

import re
from dataclasses import dataclass

from app.errors import (
    AuthenticationError,
    ContextTooLongError,
    LLMError,
    ModelNotFoundError,
    QuotaExhaustedError,
)

# A code, in lower case, with letters and digits only: "rate_limit_error" and "RateLimitError" are
# the same. The status is the one that the same error has outside of a stream.
STATUS_OF_CODE: dict[str, int] = {
    # OpenAI, and servers that use its codes
    "invalidrequesterror": 400,
    "badrequesterror": 400,  # vLLM
    "badrequest": 400,
    "contextlengthexceeded": 400,
    "authenticationerror": 401,
    "unauthorized": 401,
    "invalidapikey": 401,
    "billingerror": 402,
    "insufficientquota": 429,
    "paymentrequired": 402,
    "permissionerror": 403,
    "permissiondeniederror": 403,
    "forbidden": 403,
    "accessdeniedexception": 403,  # Bedrock
    "modelnotfound": 404,
    "notfounderror": 404,
    "requesttoolarge": 413,
    "ratelimiterror": 429,
    "ratelimitexceeded": 429,
    "ratelimit": 429,
    "toomanyrequests": 429,
    "throttling": 429,  # DashScope
    "throttlingexception": 429,  # Bedrock
    "apierror": 500,
    "servererror": 500,
    "internalerror": 500,
    "internalservererror": 500,
    "serviceunavailable": 503,
    "serviceunavailableerror": 503,
    "timeouterror": 504,
    "overloadederror": 529,
    "overloaded": 529,
    # Google's gRPC statuses
    "invalidargument": 400,
    "failedprecondition": 400,
    "unauthenticated": 401,
    "permissiondenied": 403,
    "notfound": 404,
    "resourceexhausted": 429,
    "unavailable": 503,
    "deadlineexceeded": 504,
}

# Codes that determine the error for any status.
_ERROR_OF_CODE: dict[str, type[LLMError]] = {
    "insufficientquota": QuotaExhaustedError,
    "billingerror": QuotaExhaustedError,
    "billinghardlimitreached": QuotaExhaustedError,
    "billingnotactive": QuotaExhaustedError,
    "contractspendlimitreached": QuotaExhaustedError,
    "enforcedspendlimitreached": QuotaExhaustedError,
    "linkedorganizationspendlimitreached": QuotaExhaustedError,
    "exceededcurrentquotaerror": QuotaExhaustedError,  # Moonshot
    "insufficientbalance": QuotaExhaustedError,
    "insufficientcredits": QuotaExhaustedError,
    "arrearage": QuotaExhaustedError,  # DashScope
    "accountoverdueerror": QuotaExhaustedError,  # Volcengine
    "invalidapikey": AuthenticationError,
    "apikeyinvalid": AuthenticationError,  # Gemini's reason
    "accountdeactivated": AuthenticationError,
    "nodbconnection": AuthenticationError,  # LiteLLM without a database: not its own key
    "modelnotfound": ModelNotFoundError,
    "modeldecommissioned": ModelNotFoundError,  # Groq
    "deploymentnotfound": ModelNotFoundError,  # Azure
    "contextlengthexceeded": ContextTooLongError,
    "contextwindowexceeded": ContextTooLongError,
    "contextwindowexceedederror": ContextTooLongError,  # LiteLLM
    "modelcontextwindowexceeded": ContextTooLongError,
    "exceedcontextsizeerror": ContextTooLongError,  # llama.cpp
    "stringabovemaxlength": ContextTooLongError,
    "tokenslimitreached": ContextTooLongError,  # GitHub Models
    "prompttoolong": ContextTooLongError,
    "inputtoolong": ContextTooLongError,
}


@dataclass(frozen=True, slots=True)
class _Sentences:
    error: type[LLMError]
    statuses: frozenset[int]
    pattern: re.Pattern[str]


def _sentences(error: type[LLMError], statuses: set[int], *patterns: str) -> _Sentences:
    return _Sentences(error, frozenset(statuses), re.compile("|".join(patterns)))


_SENTENCES = (
    _sentences(
        QuotaExhaustedError,
        {400, 401, 402, 403, 429},
        r"credit balance is too low",  # Anthropic, 400
        r"reached your specified (workspace )?api usage limits",  # Anthropic, 400
        r"exceeded your current quota",  # OpenAI, Gemini, 429
        r"(check|review) your (plan and )?billing",  # OpenAI, Moonshot
        r"billing hard limit has been reached",  # OpenAI, 400
        r"billing (is |account )?(is )?not (active|enabled)",
        r"requires? billing to be enabled",  # Google, 403
        r"billing (has not been|must be) enabled",
        r"insufficient (account |api )?(balance|credits?|funds|quota)",  # DeepSeek 402, OpenRouter
        r"requires more credits",  # OpenRouter, 402
        r"(used all|run out of|out of) (your |available |its )*credits",  # xAI, 403 and 429
        r"monthly (spending|spend|usage|included) (limit|credits|quota)",  # xAI, Hugging Face
        r"(spend|spending|usage|credit) limits? (is |was |has been |have been )?(reached|exceeded)",
        r"(reached|exceeded|hit) (your |its |the )?([a-z]+ )?(spend|spending|credit|usage) limit",
        r"account is in (good standing|arrears)",  # DashScope, 400
        r"account balance|negative balance",
    ),
    _sentences(
        AuthenticationError,
        {400, 401, 403, 429},
        r"organi[sz]ation has been (disabled|deactivated|suspended)",  # Anthropic, 400
        r"account (has been|is) (disabled|deactivated|suspended|blocked)",
        r"api[ _-]key (is )?(not (valid|found)|invalid|expired|missing|required)",  # Gemini, 400
        r"api[ _-]key (has )?(expired|been revoked)",
        r"(invalid|incorrect|no|missing|expired) (x-)?api[ _-]key",  # xAI and Groq, 400
        r"user location is not supported",  # Gemini, 400
        r"authentication (fails|failed)",  # DeepSeek
    ),
    _sentences(
        ModelNotFoundError,
        {400, 404, 422},
        r"not a valid model",  # OpenRouter, 400
        r"invalid model( id| name| identifier)?\b(?! (output|response|param))",  # Mistral, LiteLLM
        r"model identifier is invalid",  # Bedrock, 400
        r"\bmodel\b.{0,60}\b(does not exist|not found|not exist|has been decommissioned)",
        r"(unknown|no such|unsupported) model\b",
        r"model is (unknown|not supported|not available)",
    ),
    _sentences(
        ContextTooLongError,
        {400, 413, 422},
        r"maximum context length",  # OpenAI, vLLM, OpenRouter
        r"(prompt|input|request|context) (is )?too (long|large) for",
        r"prompt is too long",  # Anthropic: "prompt is too long: 213462 tokens > 200000 maximum"
        r"input is too long",  # Bedrock
        r"exceeds?( the)?( model'?s?)?( available)?( maximum)? context (window|length|size|limit)",
        r"exceeds? the available context size",  # llama.cpp
        r"exceeds? context limit",  # Anthropic: "input length and max_tokens exceed context limit"
        r"context (length|window|size|limit) (is |was )?exceed(ed|s)",
        r"exceeds? the maximum number of( input)? tokens",  # Gemini
        r"maximum prompt length is",  # xAI
        r"reduce the length of (the|your) (messages|prompt|input)",  # Groq
        r"(greater|longer) than the( model'?s?)?( maximum)? (context|model) length",  # LM Studio
        r"longer than the maximum model length",  # vLLM
        r"exceeded model token limit",  # Moonshot
        r"range of input length should be",  # DashScope
        r"inputs? tokens? \+ max_new_tokens",  # TGI
        r"too many (input )?tokens in (the |your )?(prompt|request|input)",
        r"token (count|limit|length).{0,40}exceed",
    ),
)

# Sentences about the request come first in a message. After this length, and in quotation marks, a
# provider may repeat the caller's text.
_READ_CHARS = 300
_QUOTED = re.compile(
    r"(?<!\w)([\"'`\u201c\u2018\u00ab])(.*?)[\"'`\u201d\u2019\u00bb](?!\w)", re.DOTALL
)


def status_of(codes: frozenset[str]) -> int | None:
    """The status that an error with these codes has outside of a stream."""
    known = [STATUS_OF_CODE[code] for code in map(_normalized, codes) if code in STATUS_OF_CODE]
    return max(known, default=None)


def error_of(status: int | None, codes: frozenset[str], message: str) -> type[LLMError] | None:
    """The error that the codes and the message mean; `None` if the status decides.

    `status` is `None` for an error without a status.
    """
    for code in sorted(codes):
        if (known := _ERROR_OF_CODE.get(_normalized(code))) is not None:
            return known
    text = _QUOTED.sub(_unquoted, message[:_READ_CHARS]).lower()
    for sentences in _SENTENCES:
        if (status is None or status in sentences.statuses) and sentences.pattern.search(text):
            return sentences.error
    return None


def _unquoted(match: re.Match[str]) -> str:
    """Keep a quoted name of a field or a model, and remove any other quotation."""
    return match[2] if re.fullmatch(r"[\w./:-]{1,64}", match[2]) else " "


def _normalized(code: str) -> str:
    return re.sub(r"[^a-z0-9]", "", code.lower())
