"""Active speaker detectors: one protocol, the architectures by name, and detectors of one's own."""

from pushpull.detectors.base import CROPS, Card, Detector, Outputs, card_of
from pushpull.detectors.catalogue import PUBLISHED
from pushpull.detectors.fetch import FetchError, fetch
from pushpull.detectors.light_asd import LightASD
from pushpull.detectors.load import find_detector, list_detectors, load_detector, load_published, save_detector
from pushpull.detectors.lr_asd import LRASD
from pushpull.detectors.registry import get_architecture, list_architectures, recognise, register_detector
from pushpull.detectors.talknet import OfficialTalkNet
from pushpull.detectors.wrap import WrappedDetector, wrap
from pushpull.models.checkpoint import CheckpointError

__all__ = [
    "CROPS",
    "PUBLISHED",
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
    "fetch",
    "find_detector",
    "get_architecture",
    "list_architectures",
    "list_detectors",
    "load_detector",
    "load_published",
    "recognise",
    "register_detector",
    "save_detector",
    "wrap",
]
