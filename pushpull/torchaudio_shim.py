"""Make ``import torchaudio`` work where its compiled extension cannot be loaded.

torchaudio 2.11 is the last release of its line and its wheel on PyPI links the CUDA runtime
(``libcudart``) whatever machine it lands on. Beside a CPU build of torch those libraries do not exist, so
``import torchaudio`` raises ``OSError`` although everything this project uses of it
(``torchaudio.transforms``, ``torchaudio.functional``) is plain Python on top of torch.

:func:`prepare` tries to load the extension's shared library, and only if that fails does it register a
stand-in for ``torchaudio._extension`` that says "no extension here", which is the state torchaudio itself
supports when built without one. Nothing in site-packages is touched; where the libraries are present the
real extension is used. ``pushpull/__init__.py`` has it called when torchaudio asks for its extension (:func:`install`),
so that importing pushpull loads neither torch nor torchaudio.
"""

import ctypes
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

MODULE = "torchaudio._extension"


def _loads(library: Path) -> bool:
    """True if the dynamic linker can load ``library`` with everything it links."""
    try:
        ctypes.CDLL(str(library))
    except OSError:
        return False
    return True


def _stub() -> ModuleType:
    """The ``torchaudio._extension`` of a torchaudio that was built without its extension."""

    def unavailable(function):
        def call(*_args, **_kwargs):
            raise RuntimeError(
                f"{function.__name__} needs torchaudio's compiled extension, whose CUDA libraries are missing "
                "on this machine. Install the torchaudio build that matches your torch."
            )

        return call

    module = ModuleType(MODULE, __doc__)
    module._IS_TORCHAUDIO_EXT_AVAILABLE = False
    module._IS_ALIGN_AVAILABLE = False
    module._check_cuda_version = lambda: None
    module.fail_if_no_align = unavailable
    return module


def prepare() -> bool:
    """Register the stand-in if, and only if, the real extension cannot be loaded.

    Returns True when the stand-in is in use. Safe to call any number of times, and without torchaudio.
    """
    if MODULE in sys.modules:
        return not hasattr(sys.modules[MODULE], "__file__")
    spec = importlib.util.find_spec("torchaudio")
    if spec is None or spec.origin is None:
        return False
    import torch  # noqa: F401  (its shared libraries must be loaded before the extension's are tried)

    libraries = sorted((Path(spec.origin).parent / "lib").glob("_torchaudio*"))
    if not libraries or all(_loads(library) for library in libraries):
        return False
    sys.modules[MODULE] = _stub()
    return True


class _Finder:
    """Answers an import of the extension with the stand-in where that is needed, and no other import."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != MODULE or not prepare():
            return None
        return importlib.machinery.ModuleSpec(name, _Loader(sys.modules[name]))


class _Loader:
    def __init__(self, module: ModuleType):
        self._module = module

    def create_module(self, spec):
        return self._module

    def exec_module(self, module):
        pass  # the stand-in is complete


def install() -> None:
    """Have :func:`prepare` called when torchaudio is imported. Safe to call any number of times."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
