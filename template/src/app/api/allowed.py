"""The methods of a path, for the header `Allow` of a 405."""

from collections.abc import Mapping

from fastapi.routing import iter_route_contexts
from starlette.requests import Request


def with_all_methods(request: Request, headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers; an `Allow` has the methods of all routes of the path. Starlette's has the first."""
    if "Allow" not in headers:
        return headers
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    methods = {
        method
        for route in iter_route_contexts(request.app.routes)
        if (pattern := getattr(route, "path_regex", None)) is not None and pattern.match(path)
        for method in route.methods or ()
    }
    return {**headers, "Allow": ", ".join(sorted(methods))}
