"""Active speaker detectors: TalkNet, ncTalkNet and specTalkNet, full and lite."""

from pushpull.detectors.checkpoint import (
    CheckpointError,
    import_official,
    list_models,
    load_model,
    resolve_device,
    save_checkpoint,
)
from pushpull.detectors.talknet import Outputs, TalkNet, TalkNetConfig, attackable

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
