"""Active speaker detectors: TalkNet, ncTalkNet and specTalkNet, full and lite."""

from pushpull.models.attackable import attackable
from pushpull.models.checkpoint import (
    CheckpointError,
    import_official,
    list_models,
    load_model,
    resolve_device,
    save_checkpoint,
)
from pushpull.models.config import TalkNetConfig
from pushpull.models.talknet import Outputs, TalkNet

__all__ = [
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
