"""Active speaker detectors: the protocol, TalkNet and its variants, and anybody's module wrapped."""

from pushpull.detectors.base import Detector, Outputs, attack_copy, describe, device_of, reference_embeddings_of
from pushpull.detectors.checkpoint import (
    CheckpointError,
    import_official,
    list_models,
    load_model,
    resolve_device,
    save_checkpoint,
)
from pushpull.detectors.talknet import TalkNet, TalkNetConfig, attackable
from pushpull.detectors.wrap import wrap

load_detector = load_model  # until the registry is there

__all__ = [
    "load_detector",
    "Detector",
    "attack_copy",
    "describe",
    "device_of",
    "reference_embeddings_of",
    "wrap",
    "CheckpointError",
    "Outputs",
    "TalkNet",
    "TalkNetConfig",
    "attackable",
    "import_official",
    "list_models",
    "load_model",
    "resolve_device",
    "save_checkpoint",
]
