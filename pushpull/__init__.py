"""Adversarial robustness of audio-visual active speaker detection.

    import pushpull as pp

    detector = pp.load_detector("talknet-lite")
    clip = pp.read_clips("clip.mp4")[0]
    run = pp.attack(detector, clip, pp.PGD(steps=10, restarts=5), eps_av=5)
    print(run.metrics)
    run.save("result")

Names are loaded when they are first used: ``import pushpull`` takes neither torch nor time.
"""

import importlib
from typing import TYPE_CHECKING

from pushpull import threads, torchaudio_shim

threads.prepare()  # before torch, which brings OpenMP
torchaudio_shim.install()

__version__ = "0.1.0"

if TYPE_CHECKING:  # what type checkers and editors read; a test holds it to _HOMES
    from pushpull.attacks import APGD as APGD
    from pushpull.attacks import BIM as BIM
    from pushpull.attacks import FGSM as FGSM
    from pushpull.attacks import MIM as MIM
    from pushpull.attacks import PGD as PGD
    from pushpull.attacks import Attack as Attack
    from pushpull.attacks import Budget as Budget
    from pushpull.attacks import Noise as Noise
    from pushpull.attacks import Square as Square
    from pushpull.attacks import paper_budget as paper_budget
    from pushpull.attacks import register_attack as register_attack
    from pushpull.attacks import register_objective as register_objective
    from pushpull.attacks.eot import Through as Through
    from pushpull.clip import Clip as Clip
    from pushpull.detectors import Detector as Detector
    from pushpull.detectors import Outputs as Outputs
    from pushpull.detectors import list_detectors as list_detectors
    from pushpull.detectors import load_detector as load_detector
    from pushpull.detectors import register_detector as register_detector
    from pushpull.detectors import wrap as wrap
    from pushpull.evaluation.api import audit as audit
    from pushpull.evaluation.api import evaluate as evaluate
    from pushpull.faces import read_clips as read_clips
    from pushpull.media import MediaError as MediaError
    from pushpull.runs import Comparison as Comparison
    from pushpull.runs import Run as Run
    from pushpull.runs import RunSpec as RunSpec
    from pushpull.runs import Target as Target
    from pushpull.runs import attack as attack
    from pushpull.runs import compare as compare
    from pushpull.runs.survive import SurviveSpec as SurviveSpec
    from pushpull.runs.survive import survive as survive

# Every public name, and the module it lives in.
_HOMES = {
    "Clip": "pushpull.clip",
    "Detector": "pushpull.detectors",
    "Outputs": "pushpull.detectors",
    "list_detectors": "pushpull.detectors",
    "load_detector": "pushpull.detectors",
    "register_detector": "pushpull.detectors",
    "wrap": "pushpull.detectors",
    "MediaError": "pushpull.media",
    "read_clips": "pushpull.faces",
    "APGD": "pushpull.attacks",
    "Attack": "pushpull.attacks",
    "BIM": "pushpull.attacks",
    "Budget": "pushpull.attacks",
    "FGSM": "pushpull.attacks",
    "MIM": "pushpull.attacks",
    "Noise": "pushpull.attacks",
    "PGD": "pushpull.attacks",
    "Square": "pushpull.attacks",
    "Through": "pushpull.attacks.eot",
    "paper_budget": "pushpull.attacks",
    "register_attack": "pushpull.attacks",
    "register_objective": "pushpull.attacks",
    "Comparison": "pushpull.runs",
    "Run": "pushpull.runs",
    "RunSpec": "pushpull.runs",
    "SurviveSpec": "pushpull.runs.survive",
    "Target": "pushpull.runs",
    "attack": "pushpull.runs",
    "audit": "pushpull.evaluation.api",
    "evaluate": "pushpull.evaluation.api",
    "compare": "pushpull.runs",
    "survive": "pushpull.runs.survive",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'pushpull' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
