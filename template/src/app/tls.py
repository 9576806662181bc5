"""The TLS certificates that this process trusts: the system's, or those of `SSL_CERT_FILE`."""

import ssl
from functools import cache

import httpx2 as httpx


@cache
def ssl_context() -> ssl.SSLContext:
    """The TLS context of all HTTP clients, created once: reading certificates takes 15 to 70 ms."""
    return httpx.create_ssl_context()
