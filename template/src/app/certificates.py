"""Whom this process trusts when it speaks TLS: the certificates of the system, or `SSL_CERT_FILE`."""

import ssl
from functools import cache

import httpx2 as httpx


@cache
def trusted() -> ssl.SSLContext:
    """Reading them takes 15 to 70 ms, so all clients of a process share what was read first."""
    return httpx.create_ssl_context()
