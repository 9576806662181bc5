"""AWS Secrets Manager, by boto3, which also finds the credentials: a role, a profile, variables."""

import logging

from app.configuration.secrets.answer import parsed
from app.configuration.secrets.policy import AWSPolicy
from app.configuration.unreadable import Unreachable, Unreadable

_PASSING = {"InternalServiceError", "ThrottlingException", "ServiceUnavailable"}


def read(name: str, policy: AWSPolicy, timeout_s: float) -> object:
    """Read the current version of a secret, by its name or ARN. Raises `Unreadable`."""
    try:
        # An extra, which most services have no use for, and which ships no types.
        import boto3  # type: ignore[import-untyped]  # noqa: PLC0415
        from botocore import exceptions  # type: ignore[import-untyped]  # noqa: PLC0415
        from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        raise Unreadable(
            "SECRETS_MANAGER", "aws needs the extra aws: see docs/secrets.md"
        ) from None
    logging.getLogger("botocore").setLevel(logging.INFO)  # at debug it writes what it reads
    limits = Config(
        connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 2}
    )
    try:
        client = boto3.Session().client("secretsmanager", region_name=policy.region, config=limits)
        text = client.get_secret_value(SecretId=name).get("SecretString")
    except exceptions.NoRegionError:
        raise Unreadable("AWS_REGION", "must be set when SECRETS_MANAGER is aws") from None
    except exceptions.ClientError as error:
        raise _refused(error.response["Error"]["Code"]) from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise Unreachable(
            "SECRETS_MANAGER", f"AWS does not answer ({type(error).__name__})"
        ) from None
    except exceptions.BotoCoreError as error:
        raise Unreadable(
            "SECRETS_MANAGER", f"AWS cannot be asked ({type(error).__name__})"
        ) from None
    return parsed(str(text))


def _refused(code: str) -> Unreadable:
    kind = Unreachable if code in _PASSING else Unreadable
    return kind("SECRETS_MANAGER", f"AWS answers {code}")
