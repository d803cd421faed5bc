"""Active speaker detectors: one protocol, the architectures by name, and detectors of one's own."""

from pushpull.detectors.base import (
    CROPS,
    Card,
    Detector,
    Outputs,
    attack_copy,
    card_of,
    describe,
    device_of,
    reference_embeddings_of,
)
from pushpull.detectors.catalogue import PUBLISHED
from pushpull.detectors.checkpoint import (
    CheckpointError,
    import_official,
    list_models,
    load_model,
    resolve_device,
    save_checkpoint,
)
from pushpull.detectors.fetch import FetchError, fetch
from pushpull.detectors.light_asd import LightASD
from pushpull.detectors.load import find_detector, list_detectors, load_detector, load_published, save_detector
from pushpull.detectors.lr_asd import LRASD
from pushpull.detectors.official import OfficialTalkNet
from pushpull.detectors.points import POINTS, Point, at_point, decided, decided_at, point_of, points_of, undecided
from pushpull.detectors.registry import get_architecture, list_architectures, recognise, register_detector
from pushpull.detectors.script import open_detector
from pushpull.detectors.talknet import TalkNet, TalkNetConfig, attackable
from pushpull.detectors.wrap import WrappedDetector, wrap

__all__ = [
    "CROPS",
    "TalkNet",
    "TalkNetConfig",
    "at_point",
    "attackable",
    "import_official",
    "list_models",
    "load_model",
    "resolve_device",
    "save_checkpoint",
    "attack_copy",
    "describe",
    "device_of",
    "reference_embeddings_of",
    "POINTS",
    "PUBLISHED",
    "Point",
    "Card",
    "CheckpointError",
    "Detector",
    "FetchError",
    "LRASD",
    "LightASD",
    "OfficialTalkNet",
    "Outputs",
    "WrappedDetector",
    "card_of",
    "decided",
    "decided_at",
    "fetch",
    "find_detector",
    "get_architecture",
    "list_architectures",
    "list_detectors",
    "load_detector",
    "load_published",
    "open_detector",
    "point_of",
    "points_of",
    "recognise",
    "register_detector",
    "save_detector",
    "undecided",
    "wrap",
]
