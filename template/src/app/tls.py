"""The TLS certificates that this process trusts: the system's, or those of `SSL_CERT_FILE`."""

import os
import ssl
import sys
from functools import cache

import httpx2 as httpx


@cache
def ssl_context() -> ssl.SSLContext:
    """The TLS context of all HTTP clients, created once: reading certificates takes 15 to 70 ms."""
    return system_context() or httpx.create_ssl_context()


def system_context() -> ssl.SSLContext | None:
    """What httpx2 creates on Linux, without the import of httpcore2, which takes 1.3 MB.

    None if there is more to decide: a variable names the certificates, the system keeps them elsewhere
    than in OpenSSL's file, or it is not Linux.
    """
    if sys.platform != "linux" or "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_default_verify_paths()
    return context if context.cert_store_stats()["x509_ca"] else None
