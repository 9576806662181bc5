"""AWS Secrets Manager, through boto3. boto3 finds the credentials: a role, a profile, variables."""

import logging

from app.configuration.secrets.answer import parsed
from app.configuration.secrets.policy import AWSPolicy
from app.configuration.text_file import SourceError, SourceUnavailableError

_PASSING = {"InternalServiceError", "ThrottlingException", "ServiceUnavailable"}


def read(name: str, policy: AWSPolicy, timeout_s: float) -> object:
    """Read the current version of a secret by its name or ARN. Raises `SourceError`."""
    try:
        # An optional package, which most services do not install, and which has no types.
        import boto3  # type: ignore[import-untyped]  # noqa: PLC0415
        from botocore import exceptions  # type: ignore[import-untyped]  # noqa: PLC0415
        from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        raise SourceError(
            "SECRETS_MANAGER", "aws needs the extra aws: see docs/secrets.md"
        ) from None
    logging.getLogger("botocore").setLevel(logging.INFO)  # at debug level it logs secrets
    limits = Config(
        connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 2}
    )
    try:
        client = boto3.Session().client("secretsmanager", region_name=policy.region, config=limits)
        text = client.get_secret_value(SecretId=name).get("SecretString")
    except exceptions.NoRegionError:
        raise SourceError("AWS_REGION", "must be set when SECRETS_MANAGER is aws") from None
    except exceptions.ClientError as error:
        raise _refused(error.response["Error"]["Code"]) from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise SourceUnavailableError(
            "SECRETS_MANAGER", f"AWS does not answer ({type(error).__name__})"
        ) from None
    except exceptions.BotoCoreError as error:
        raise SourceError(
            "SECRETS_MANAGER", f"the request to AWS failed ({type(error).__name__})"
        ) from None
    return parsed(str(text))


def _refused(code: str) -> SourceError:
    kind = SourceUnavailableError if code in _PASSING else SourceError
    return kind("SECRETS_MANAGER", f"AWS answers {code}")
