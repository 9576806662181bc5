"""Shows the pledges of an incident as a table for a terminal."""

from collections.abc import Sequence

from scripts.lab.incident import Incident, Pledge
from scripts.lab.measures import MEASURES
from scripts.lab.play import Verdict
from scripts.lab.recording import Recording

_HEAD = ("", "pledge", "bound", "measured")
_SHOWN_EVENTS = ("llm.", "redis.", "service.failed")


def as_text(
    name: str, incident: Incident, recording: Recording, verdicts: Sequence[Verdict]
) -> str:
    rows = [_HEAD, *(_row(verdict) for verdict in verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([f"{name}: {incident.title}", *table, _counts(recording), ""])


def _row(verdict: Verdict) -> tuple[str, str, str, str]:
    pledge = verdict.pledge
    mark = "kept" if verdict.is_kept else "BROKEN"
    return mark, sentence(pledge), bound(pledge), f"{verdict.value:.4g}"


def bound(pledge: Pledge) -> str:
    if pledge.at_most is not None:
        return f"at most {pledge.at_most:g}"
    return f"at least {pledge.at_least:g}"


def sentence(pledge: Pledge) -> str:
    parts = [MEASURES[pledge.measure].what]
    if pledge.provider is not None:
        parts.append(f"({pledge.provider})")
    if pledge.client is not None:
        parts.append(f"(client {pledge.client})")
    if pledge.from_s or "to_s" in pledge.model_fields_set:
        end = f" to {pledge.to_s:g} s" if "to_s" in pledge.model_fields_set else " s on"
        parts.append(f"from {pledge.from_s:g}{end}")
    return " ".join(parts)


def _counts(recording: Recording) -> str:
    seen = {k: v for k, v in sorted(recording.events.items()) if k.startswith(_SHOWN_EVENTS)}
    log = ", ".join(f"{name} {count}" for name, count in seen.items())
    return f"{len(recording.asked)} requests, {len(recording.called)} calls; log: {log}"
