"""TalkNet and its variants: the network, its dimensions, and its copy for attacks."""

from pushpull.detectors.talknet.config import TalkNetConfig
from pushpull.detectors.talknet.fast import attackable
from pushpull.detectors.talknet.network import TalkNet

__all__ = ["TalkNet", "TalkNetConfig", "attackable"]
