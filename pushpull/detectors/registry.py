"""Architectures by name: one string finds the class, and a state dict finds its architecture."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from torch import Tensor

from pushpull.detectors.base import Detector

State = Mapping[str, Tensor]


class Architecture(Protocol):
    """What is registered: usually the detector's class, with these two class methods."""

    @classmethod
    def recognises(cls, state: State) -> bool:
        """Whether a state dict is of this architecture, by the names of its tensors; its shapes may still not fit."""

    @classmethod
    def from_state(cls, state: State, *, source: str) -> Detector:
        """The detector with these weights, in evaluation mode.

        Raises:
            CheckpointError: tensors are missing, unexpected or of another shape; the message names ``source`` and them.
        """


Registered = TypeVar("Registered")
_ARCHITECTURES: dict[str, Architecture] = {}


def register_detector(name: str) -> Callable[[Registered], Registered]:
    """Class decorator: make an :class:`Architecture` known by ``name``.

    Raises:
        ValueError: the name is another architecture's.
        TypeError: what is decorated has no ``recognises`` or ``from_state``.
    """

    def register(architecture: Registered) -> Registered:
        if missing := [each for each in ("recognises", "from_state") if not hasattr(architecture, each)]:
            raise TypeError(f"{architecture!r} needs {' and '.join(missing)} to be registered as {name!r}")
        if _ARCHITECTURES.setdefault(name, architecture) is not architecture:
            raise ValueError(f"{name!r} is registered already, as {_ARCHITECTURES[name]!r}")
        return architecture

    return register


def list_architectures() -> list[str]:
    """The names of all architectures, sorted."""
    return sorted(_ARCHITECTURES)


def get_architecture(name: str) -> Architecture:
    """The architecture of a name.

    Raises:
        ValueError: there is none; the message lists those that there are.
    """
    if name not in _ARCHITECTURES:
        raise ValueError(f"no architecture is called {name!r}; there are: {', '.join(list_architectures())}")
    return _ARCHITECTURES[name]


def recognise(state: State) -> str | None:
    """The name of the architecture that a state dict is of, None if no registered one knows it."""
    return next((name for name in list_architectures() if _ARCHITECTURES[name].recognises(state)), None)


def architecture_of(detector: object) -> str | None:
    """The name under which a detector's class is registered, None if it is not."""
    return next((name for name in list_architectures() if _ARCHITECTURES[name] is type(detector)), None)
