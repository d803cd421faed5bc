"""What tells a detector that came from no file from another, or from what it was before its code was changed."""

import hashlib
import inspect
from collections.abc import Callable
from functools import partial
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import nn

LIBRARIES = ("torch", "torchvision", "torchaudio", "numpy", "scipy", "builtins", "functools", "pushpull")
PLAIN = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis))
# What a torch module has beside its parts: hooks, and whether it is being trained.
NOT_SAID = {"training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_is_full_backward_hook"}
NOT_SAID |= {"content_as_loaded"}  # of weights that are told themselves


def fingerprint(detector: Any) -> str:
    """SHA-256 over weights, settings and code of a detector, in hexadecimal digits.

    The code is that of the detector's own classes and functions, with the constants, defaults, closures and global
    names that they use; libraries are told by their names. The same detector made in another process has the same
    fingerprint; another version of Python may give another. What code reads from files or devices is not seen.
    """
    digest = hashlib.sha256()
    _Feed(digest.update).take(detector)
    return digest.hexdigest()


class _Feed:
    """Walks what a detector is made of, each part once."""

    def __init__(self, update: Callable[[bytes], None]):
        self.update, self.seen = update, {}

    def say(self, *words: Any) -> None:
        self.update("\0".join(map(str, words)).encode() + b"\0")

    def take(self, value: Any) -> None:
        if isinstance(value, PLAIN):
            return self.say(type(value).__name__, repr(value))
        if id(value) in self.seen:
            return self.say("again", self.seen[id(value)][0])
        self.seen[id(value)] = len(self.seen), value  # kept: the number of one that is gone is given to another
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().contiguous()
            self.say("tensor", value.dtype, tuple(value.shape))
            return self.update(value.flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
        if isinstance(value, np.ndarray):
            self.say("array", value.dtype, value.shape)
            return self.update(np.ascontiguousarray(value).tobytes())
        if isinstance(value, set | frozenset):
            return self.say("set", *sorted(map(repr, value)))
        if isinstance(value, list | tuple):
            self.say(type(value).__name__, len(value))
            return [self.take(part) for part in value]
        if isinstance(value, dict):
            self.say("dict", len(value))
            return [self.take(part) for pair in value.items() for part in pair]
        return self.rest(value)

    def rest(self, value: Any) -> None:
        """Code, and what has some."""
        if isinstance(value, CodeType):
            self.say("code", value.co_name, value.co_names, value.co_varnames)
            self.update(value.co_code)
            self.take(value.co_consts)
        elif isinstance(value, partial):
            self.take([value.func, value.args, value.keywords])
        elif inspect.ismethod(value):
            self.take([value.__func__, value.__self__])
        elif inspect.isfunction(value):
            self.function(value)
        elif inspect.isclass(value):
            self.klass(value)
        elif isinstance(value, nn.Module):
            self.take(type(value))
            self.take(dict(value.state_dict()))
            self.take(dict(value.named_children()))
            self.take({k: v for k, v in vars(value).items() if k not in NOT_SAID and "hook" not in k})
        else:
            self.say(getattr(value, "__qualname__", ""))  # of what was compiled: math.exp
            self.take(type(value))
            self.take(vars(value) if hasattr(value, "__dict__") and not inspect.ismodule(value) else {})

    def function(self, value: Callable) -> None:
        self.say("function", value.__module__, value.__qualname__)
        if of_library(value):
            return
        self.take(value.__code__)
        self.take([value.__defaults__, value.__kwdefaults__])
        self.take(inspect.getclosurevars(value).nonlocals)
        known = value.__globals__
        self.take({name: known[name] for name in sorted(_names(value.__code__)) if name in known})

    def klass(self, value: type) -> None:
        self.say("class", value.__module__, value.__qualname__)
        if of_library(value):
            return
        for base in value.__bases__:
            self.take(base)
        for name, part in sorted(vars(value).items()):
            part = getattr(part, "__func__", getattr(part, "fget", part))  # static and class methods, properties
            if inspect.isfunction(part) or isinstance(part, PLAIN) and not name.startswith("__"):
                self.say(name)
                self.take(part)


def of_library(value: Any) -> bool:
    """Whether a class or function, or what an object is one of, is a library's or this package's own."""
    return str(getattr(value, "__module__", "")).partition(".")[0] in LIBRARIES


def _names(code: CodeType) -> set[str]:
    """Names that a function's code uses, and that of the functions in it."""
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return set(code.co_names).union(*map(_names, inner))
