"""The networks that can be trained: built by the name of their architecture, read from files and written to them."""

import copy
from pathlib import Path

import torch
from torch import nn

from pushpull.detectors import (
    LRASD,
    CheckpointError,
    LightASD,
    TalkNet,
    TalkNetConfig,
    load_detector,
    save_checkpoint,
    save_detector,
    undecided,
)
from pushpull.detectors.checkpoint import REFERENCE
from pushpull.detectors.load import file_of
from pushpull.detectors.state import content_of, read_state
from pushpull.detectors.stored import pack, unpack
from pushpull.detectors.streams import TwoStreams
from pushpull.detectors.windowed import Windowed

Network = TalkNet | TwoStreams
TALKNET = "talknet"
TWO_STREAMS: dict[str, type[TwoStreams]] = {"light-asd": LightASD, "lr-asd": LRASD}
ARCHITECTURES = (TALKNET, *TWO_STREAMS)
VARIANT, SIZE = "talknet", "lite"  # what other architectures have these options at, which do not concern them


def check_architecture(architecture: str, variant: str, size: str) -> None:
    """Refuse names that no network has, now and not once the footage is cropped.

    Raises:
        ValueError: an unknown name, or a variant or size of TalkNet for another architecture.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture is one of {', '.join(ARCHITECTURES)}, got {architecture!r}")
    if architecture == TALKNET:
        TalkNetConfig.named(variant, size)
    elif (variant, size) != (VARIANT, SIZE):
        raise ValueError(
            f"{architecture} has one variant and one size: leave out variant, size and the rows nc and spec"
        )


def build(architecture: str, variant: str = VARIANT, size: str = SIZE) -> Network:
    """A network with random weights."""
    if architecture == TALKNET:
        return TalkNet(TalkNetConfig.named(variant, size))
    return TWO_STREAMS[architecture]()


def architecture_of(network: nn.Module) -> str:
    """The name of a network's architecture."""
    return next((name for name, kind in TWO_STREAMS.items() if isinstance(network, kind)), TALKNET)


def described(network: Network) -> str:
    """What a network is, for messages: "lite talknet", "lr-asd"."""
    if isinstance(network, TalkNet):
        return f"{network.config.size} {network.config.variant}"
    return architecture_of(network)


def load_network(name_or_path: str | Path, device: str | torch.device = "auto") -> Network:
    """A detector as training takes it: without windows for long tracks, and with the network's own log-odds.

    Raises:
        CheckpointError: as :func:`pushpull.detectors.load_detector`, or an architecture that is not trained here.
    """
    detector = undecided(load_detector(name_or_path, device))
    network = detector.detector if isinstance(detector, Windowed) else detector
    if not isinstance(network, TalkNet | TwoStreams):
        raise CheckpointError(
            f"{name_or_path} is a {type(network).__name__}; what can be trained is {', '.join(ARCHITECTURES)}"
        )
    return network


def weights_sha256(name_or_path: str | Path) -> str:
    """Hexadecimal SHA-256 of the tensors in a detector's file, whatever the card in it says.

    Raises:
        CheckpointError: as :func:`pushpull.detectors.load_detector`.
    """
    return _sha256(read_state(file_of(name_or_path)))


def holds_weights(path: Path, network: Network, *, weights: str) -> bool:
    """Whether ``path`` holds the very weights that :func:`save_network` would write into it."""
    try:
        return path.is_file() and weights_sha256(path) == _sha256_stored(network, weights)
    except CheckpointError:
        return False


def as_stored(network: Network, *, weights: str) -> Network:
    """A copy in evaluation mode with the weights that a file gives back, which are rounded."""
    stored = copy.deepcopy(network).eval()
    stored.load_state_dict(unpack(pack(_state(network), weights)))
    return stored


def _state(network):
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}


def _sha256(state):
    return content_of({name: tensor for name, tensor in state.items() if not name.startswith(REFERENCE)})


def _sha256_stored(network, weights):
    """What :func:`weights_sha256` is going to say of the file."""
    packed = pack(_state(network), weights)
    return _sha256({name: x.float() if x.is_floating_point() else x for name, x in packed.items()})


def save_network(path: str | Path, network: Network, card: dict, *, weights: str) -> Path:
    """Write ``path.safetensors`` and its card; ``weights`` is how they are stored. The path of the weights.

    The card gets the hash of the weights alone: who trains the same again gets the same one, but another file, for the
    card in it says how long that took.
    """
    card = {**card, "weights_sha256": _sha256_stored(network, weights)}
    if isinstance(network, TalkNet):
        return save_checkpoint(path, network, card, weights=weights)
    return save_detector(path, network, card, weights=weights)


def copy_weights(network: Network, source: Network) -> list[str]:
    """Begin with the weights of ``source``: every tensor that ``network`` has under the same name and shape.

    Returns:
        The names of the tensors that keep their random values, as those of another variant's attention do.

    Raises:
        CheckpointError: the two are of other architectures or sizes, so that hardly anything fits.
    """
    state, own = source.state_dict(), network.state_dict()
    fits = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    if architecture_of(network) != architecture_of(source):
        raise CheckpointError(
            f"{described(network)} cannot begin with the weights of {described(source)}: give --architecture "
            f"{architecture_of(source)}, or another --start"
        )
    sizes = {each.config.size for each in (network, source) if isinstance(each, TalkNet)}
    if len(sizes) > 1 or 2 * len(fits) < len(own):
        raise CheckpointError(
            f"of the {len(own)} tensors of this {described(network)} only {len(fits)} fit those of the "
            f"{described(source)} to start with: give one of the same size"
        )
    network.load_state_dict(own | fits)
    return [name for name in own if name not in fits]
