"""TalkNet among the architectures, for files of the official code; its network is ``pushpull.detectors.talknet``."""

from pushpull.detectors.checkpoint import from_official, load_state
from pushpull.detectors.registry import State, register_detector
from pushpull.detectors.talknet.network import TalkNet

MARK = "visualFrontend.frontend3D.0.weight"


@register_detector("talknet")
class OfficialTalkNet:
    """The loader of TalkNet's official state dicts."""

    @classmethod
    def recognises(cls, state: State) -> bool:
        return "model." + MARK in state or MARK in state

    @classmethod
    def from_state(cls, state: State, *, source: str) -> TalkNet:
        """The full TalkNet with these weights, in evaluation mode.

        Raises:
            CheckpointError: tensors do not fit; the message names them.
        """
        model = TalkNet()
        load_state(model, from_official(state), source=source)
        return model.eval()
