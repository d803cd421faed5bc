"""A model that is attacked is left as it was found, also where it hides behind a function."""

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

DEPTH = 6  # function in a closure in an attribute ...: deeper ones show themselves when they are called
WIDTH = 100  # entries of a container that are looked at


class Settled:
    """Modules in evaluation mode with frozen parameters; ``restore`` gives back what was there before, one by one."""

    def __init__(self):
        self._seen: dict[int, nn.Module] = {}
        self._modes: list[tuple[nn.Module, bool]] = []
        self._flags: list[tuple[nn.Parameter, bool]] = []
        self._buffers: list[tuple] = []
        self._quiet = False

    def add(self, module: nn.Module) -> None:
        """Settle ``module`` and everything in it."""
        # The wrapper of torch.compile warns of hooks on all modules; what it wraps is a registered child.
        self._quiet = self._quiet or hasattr(module, "_orig_mod")
        for part in module.modules():
            if id(part) in self._seen:
                continue
            self._seen[id(part)] = part
            self._modes.append((part, part.training))
            self._flags += [(parameter, parameter.requires_grad) for parameter in part.parameters(recurse=False)]
            for name, buffer in part.named_buffers(recurse=False):
                if not nn.parameter.is_lazy(buffer):
                    self._buffers.append((part, name, buffer, _version(buffer), buffer.detach().clone()))
        module.eval()
        module.requires_grad_(False)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, every module that this thread calls is settled before it computes anything."""
        if self._quiet:
            yield
            return
        thread = threading.get_ident()

        def settle(module, _):
            if (module.training or id(module) not in self._seen) and threading.get_ident() == thread:
                self.add(module)

        handle = register_module_forward_pre_hook(settle)
        try:
            yield
        finally:
            handle.remove()

    def restore(self) -> None:
        """Modes, gradient flags and buffers as they were when their module was first seen."""
        for module, training in self._modes:
            module.training = training
        for parameter, requires_grad in self._flags:
            parameter.requires_grad_(requires_grad)
        with torch.no_grad():
            for module, name, buffer, version, values in self._buffers:
                # Untouched ones are not written to: a graph of the caller's may hold them.
                if version is None or _version(buffer) != version:
                    buffer.copy_(values)
                if getattr(module, name) is not buffer:
                    setattr(module, name, buffer)


@contextmanager
def undisturbed(model: Callable) -> Iterator[Settled]:
    """Evaluation mode and frozen parameters inside; exactly what was there before, module by module, after.

    Modules are looked for behind functions, methods, ``functools.partial`` and attributes as well; those that are not
    found show themselves in ``Settled.watching``.
    """
    settled = Settled()
    try:
        for module in modules_behind(model):
            settled.add(module)
        yield settled
    finally:
        settled.restore()


def modules_behind(thing) -> list[nn.Module]:
    """The outermost modules that a callable holds: itself, or in closures, globals, defaults, arguments, attributes."""
    found, seen, queue = [], {}, [(thing, 0)]
    while queue:
        thing, depth = queue.pop(0)
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if isinstance(thing, nn.Module):
            found.append(thing)
        elif depth < DEPTH:
            queue += [(part, depth + 1) for part in _parts(thing)]
    return found


def _parts(thing) -> list:
    """What an object holds that may be, or lead to, a module."""
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, FunctionType):
        return _named_in(thing)
    if isinstance(thing, dict):
        return list(thing.values())[:WIDTH]
    if isinstance(thing, (list, tuple, set, frozenset)):
        return list(thing)[:WIDTH]
    if isinstance(thing, (type, ModuleType, torch.Tensor)) or inspect.isbuiltin(thing):
        return []
    return [*getattr(thing, "__dict__", {}).values()][:WIDTH]


def _named_in(function: FunctionType) -> list:
    """Values of the variables from outside that a function uses, and of its defaults."""
    try:
        outside = inspect.getclosurevars(function)
        values = [*outside.nonlocals.values(), *outside.globals.values()]
    except ValueError:  # a closure that names a variable without a value yet
        values = []
    return [*values, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]


def _version(buffer: torch.Tensor) -> int | None:
    """Counts writes; tensors made in inference mode do not count them."""
    return None if buffer.is_inference() else buffer._version
