"""`/metrics/summary` as a page for people. It has no script, and loads nothing."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from app.telemetry.recent import Statistics

_REFRESH_S = 5

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 2rem 0 .25rem }
p { opacity: .7; margin: .25rem 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid #8884 }
th { font-weight: 600; opacity: .7 }
th:first-child, td:first-child { text-align: left }
.bad { color: #d33; font-weight: 600 }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

# The style of the page, by its hash, and nothing else.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEAD = "<tr><th></th><th>count</th><th>errors</th><th>p50</th><th>p95</th><th>p99</th></tr>"


def summary_page(window_s: float, tables: Mapping[str, Mapping[str, Statistics]]) -> str:
    """The page: a table of each kind, with a row for each route or provider, by name."""
    parts = (_table(name, rows) for name, rows in tables.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{_REFRESH_S}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Summary</title><style>{_STYLE}</style></head><body>"
        f"<h1>The last {window_s / 60:g} minutes</h1>"
        f"<p>Of this process. Times are in milliseconds. Renewed every {_REFRESH_S} seconds; "
        "without <code>Accept: text/html</code> the same is JSON.</p>"
        f"{''.join(parts)}</body></html>\n"
    )


def _table(name: str, rows: Mapping[str, Statistics]) -> str:
    if not rows:
        return f"<h2>{escape(name)}</h2><p>No calls.</p>"
    lines = (_row(key, rows[key]) for key in sorted(rows))
    return f"<h2>{escape(name)}</h2><table>{_HEAD}{''.join(lines)}</table>"


def _row(name: str, found: Statistics) -> str:
    mark = ' class="bad"' if found.errors else ""
    times = (found.p50_ms, found.p95_ms, found.p99_ms)
    return (
        f"<tr><td>{escape(name)}</td><td>{found.count}</td>"
        f"<td{mark}>{found.errors} ({found.error_rate:.1%})</td>"
        + "".join(f"<td>{_shown(time)}</td>" for time in times)
        + "</tr>"
    )


def _shown(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:,.1f}"
