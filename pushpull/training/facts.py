"""What a trained detector's card says of its origin: architecture, crop, data, and the weights that it began with."""

import sys

from pushpull.data.sources import crops_of, source_names
from pushpull.detectors import Card, card_of
from pushpull.training.networks import Network
from pushpull.training.options import BEGUN_WITH, TrainOptions

TOLD = ("name", "sha256", "source", "licence", "trained_on", "crop")  # of the card of what a run began with


def origin_of(source: Network | None) -> dict:
    """Of the network that a run began with; empty where it began with random weights."""
    if source is None:
        return {}
    card = card_of(source).to_dict()
    return {name: card[name] for name in TOLD if name in card}


def facts(options: TrainOptions, origin: dict, begun: dict[str, str]) -> dict:
    """Of the card of what ``options`` train.

    ``crop`` is how a detector's faces are to be cut out: as those that it was trained on, where all sources agree, else
    as for the weights that it began with; ``crops`` is that of each source.

    Args:
        origin: see :func:`origin_of`.
        begun: see :func:`pushpull.training.options.begun_with`.
    """
    crops = crops_of(options.data, options.footage)
    data = source_names(options.data)
    before = origin.get("trained_on")
    found = {
        "architecture": options.architecture,
        "crop": chosen_crop(crops, origin),
        "crops": crops,
        "trained_on": f"{before}, then {data}" if before else data,
    }
    if origin:
        found["started_from"] = origin
    if begun:
        found[BEGUN_WITH] = begun
    if "licence" in origin:
        found["licence"] = origin["licence"]
    return found


def chosen_crop(crops: dict[str, str], origin: dict) -> str:
    """The crop that goes into the card."""
    different = set(crops.values())
    return different.pop() if len(different) == 1 else origin.get("crop", Card().crop)


def warn_of_crops(options: TrainOptions, origin: dict) -> None:
    """Say on stderr where the data are cut otherwise than what the weights at the start were trained on."""
    before = origin.get("crop")
    others = [f"{name} ({crop})" for name, crop in crops_of(options.data, options.footage).items() if crop != before]
    if before and others:
        print(
            f"{origin['name']} was trained on the crop {before}, and this data is cut otherwise: {', '.join(others)}. "
            f"Footage can be cut so with --footage.crop {before}",
            file=sys.stderr,
        )
