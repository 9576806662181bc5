"""Records the functions of the service that one request runs through, in order."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, ModuleType

import orjson

import app
from app.testing import CapturedLogs, captured_logs

_ROOT = f"{Path(app.__file__).parent}/"
_AWAITED = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

# A file is one step of the way, except here: each attempt passes these again.
_GUARDS = "llm/guards/"
_BASE_OF_GUARDS = "llm/guards/guard.py"
_EACH_ATTEMPT = (_GUARDS, "llm/providers/", "llm/provider_http.py")
_SHOWN_FIELDS = ("provider", "route", "outcome", "error", "status")


@dataclass(frozen=True, slots=True)
class Step:
    """A function that the request entered, or an event that was logged (then `file` is empty)."""

    file: str
    name: str
    purpose: str


@dataclass
class Walk:
    steps: list[Step] = field(default_factory=list)

    @property
    def files(self) -> list[str]:
        return [step.file for step in self.steps if step.file]

    @property
    def events(self) -> list[str]:
        return [step.name for step in self.steps if not step.file]


@dataclass
class _Recorder:
    """Takes the first function of each file, in the order of the calls.

    The awaited functions are the way of a request; the functions that these call on the way are
    details. A guard may also prepare a request in a function that is not awaited.
    """

    logs: CapturedLogs
    walk: Walk = field(default_factory=Walk)
    _frames: list[FrameType] = field(default_factory=list)  # kept, so that no id is used twice
    _known_frames: set[int] = field(default_factory=set)
    _entries: dict[str, CodeType] = field(default_factory=dict)
    _taken: int = 0  # characters of the log

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        path = frame.f_code.co_filename
        if event != "call" or not path.startswith(_ROOT) or id(frame) in self._known_frames:
            return
        self._frames.append(frame)
        self._known_frames.add(id(frame))
        file = path.removeprefix(_ROOT)
        if self._is_step(file, frame.f_code):
            self.take_events()
            name = frame.f_code.co_qualname.partition(".<locals>")[0]
            self.walk.steps.append(Step(file, name, _purpose(file, name)))

    def _is_step(self, file: str, code: CodeType) -> bool:
        name = code.co_qualname
        of_a_guard = file.startswith(_GUARDS) and "." in name and "<" not in name
        if not (code.co_flags & _AWAITED or of_a_guard) or file == _BASE_OF_GUARDS:
            return False
        if file not in self._entries:
            self._entries[file] = code
            return True
        return self._entries[file] is code and file.startswith(_EACH_ATTEMPT)

    def take_events(self) -> None:
        """Add the events that were logged since the last step."""
        text = self.logs.text
        for line in text[self._taken :].splitlines():
            fields = orjson.loads(line)
            shown = [f"{name}={fields[name]}" for name in _SHOWN_FIELDS if name in fields]
            self.walk.steps.append(Step("", fields["event"], " ".join(shown)))
        self._taken = len(text)


@contextmanager
def recorded() -> Iterator[Walk]:
    """Record the calls inside the block."""
    with captured_logs("INFO") as logs:
        recorder = _Recorder(logs)
        sys.setprofile(recorder)
        try:
            yield recorder.walk
        finally:
            sys.setprofile(None)
            recorder.take_events()


def _purpose(file: str, function: str) -> str:
    """The first sentence of the docstring of the function, else of its class, else of its file."""
    module = importlib.import_module("app." + file.removesuffix(".py").replace("/", "."))
    owners: list[object] = [module]
    for name in function.split("."):
        owners.append(getattr(owners[-1], name, None))
    return next((text for owner in reversed(owners) if (text := _first_sentence(owner))), "")


def _first_sentence(owner: object) -> str:
    text = getattr(owner, "__doc__", None) or ""
    if not (isinstance(owner, ModuleType) or callable(owner)):
        return ""
    if isinstance(owner, type) and text.startswith(f"{owner.__name__}("):
        return ""  # a dataclass without a docstring
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].removesuffix(".").removesuffix(":")
