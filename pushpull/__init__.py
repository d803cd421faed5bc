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

from pushpull import threads, torchaudio_shim

threads.prepare()  # before torch, which brings OpenMP
torchaudio_shim.install()

__version__ = "0.1.0"

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
