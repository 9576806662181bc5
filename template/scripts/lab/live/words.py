"""An incident in the words of the page: its pledges, and the changes on its time axis."""

from pydantic import ValidationError

from mock_api.faults import Fault
from scripts.lab import incident as files
from scripts.lab.incident import Event as Change
from scripts.lab.incident import Incident, load
from scripts.lab.live.bus import Event
from scripts.lab.report import bound, sentence


def catalogue() -> list[Event]:
    """All incidents. A file that cannot be read says why: its author is probably at work on it."""
    return [_entry(name) for name in files.names()]


def _entry(name: str) -> Event:
    try:
        return about(name, load(name))
    except (ValidationError, ValueError) as error:  # not TOML, or not an incident
        return {"name": name, "title": name, "problem": str(error)}


def about(name: str, incident: Incident) -> Event:
    return {
        "name": name,
        "title": incident.title,
        "guard": incident.guard,
        "lasts_s": max(load.from_s + load.for_s for load in incident.load),
        "settings": incident.settings,
        "changes": [{"at_s": each.at_s, "what": _change(each)} for each in incident.events],
        "pledges": [
            {"sentence": sentence(pledge), "bound": bound(pledge)} for pledge in incident.pledges
        ],
    }


def _change(change: Change) -> str:
    """Empty if all is well again."""
    if change.redis is not None:
        return "Redis is gone" if change.redis == "gone" else ""
    return "; ".join(map(in_words, change.faults or []))


def in_words(fault: Fault) -> str:
    return f"{_kind(fault)}{_where(fault)}{_share(fault)}"


def _kind(fault: Fault) -> str:
    cuts = {
        "connection closed": fault.drop_after_chunks is not None,
        "silence": fault.stall_after_chunks is not None,
        "only pings": fault.ping_after_chunks is not None,
        "broken JSON": fault.malformed,
        f"{fault.latency_ms / 1000:g} s late": bool(fault.latency_ms),
    }
    status = [] if fault.refuses_with is None else [f"status {fault.refuses_with}"]
    return ", ".join([*status, *(what for what, is_so in cuts.items() if is_so)]) or "slow text"


def _where(fault: Fault) -> str:
    return {None: "", "/v1/messages": " (anthropic)"}.get(fault.path, " (openai)")


def _share(fault: Fault) -> str:
    if fault.times is not None:
        return f", {fault.times} times"
    return "" if fault.rate == 1 else f", {fault.rate:.0%} of calls"
