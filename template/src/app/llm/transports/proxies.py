"""The environment's proxies: which one a call goes through, if any."""

import httpx2 as httpx

# No public function of httpx2 reads the environment. A copy of these rules (networks, ports, wildcards,
# and which entry wins) would be 100 lines, and would differ from httpx2's own transport sooner or later.
from httpx2._utils import URLPattern, get_environment_proxies


class Proxies:
    """`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, read once."""

    def __init__(self) -> None:
        found = get_environment_proxies()
        self._routes = sorted((URLPattern(pattern), proxy) for pattern, proxy in found.items())

    def proxy_for(self, url: httpx.URL) -> str | None:
        """The address of the proxy. The most specific entry decides, and `NO_PROXY` has no proxy."""
        return next((proxy for pattern, proxy in self._routes if pattern.matches(url)), None)
