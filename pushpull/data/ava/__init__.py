"""AVA-ActiveSpeaker in TalkNet's layout: read it, make it from the films, score it as the official tool does."""

from pushpull.data.ava.pool import AvaOptions, AvaPool, read_ava
from pushpull.data.ava.predictions import predict, write_predictions

__all__ = ["AvaOptions", "AvaPool", "predict", "read_ava", "write_predictions"]
