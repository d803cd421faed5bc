"""Detectors out of files and into them: published ``.model`` files, and safetensors with a card."""

import json
import os
from pathlib import Path

import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from pushpull.detectors.base import Card, Detector, reference_embeddings_of
from pushpull.detectors.catalogue import COMMAND, PUBLISHED, published_by, published_points
from pushpull.detectors.checkpoint import (
    CHECKPOINTS,
    NAME,
    REFERENCE,
    CheckpointError,
    check_card,
    find_checkpoint,
    list_models,
    load_model,
    resolve_device,
    save_checkpoint,
    weights_file,
    with_sidecar,
)
from pushpull.detectors.clip_norm import ClipNormed, split_share
from pushpull.detectors.points import at_point, undecided
from pushpull.detectors.registry import architecture_of, get_architecture, list_architectures, recognise
from pushpull.detectors.state import SAFETENSORS, read_state, remember_content
from pushpull.detectors.stored import pack, unpack
from pushpull.detectors.talknet.network import TalkNet
from pushpull.detectors.windowed import Windowed, windowed
from pushpull.files import replacing, sha256

FOLDER_VARIABLE = "PUSHPULL_DETECTORS"
SUFFIXES = (SAFETENSORS, ".model")  # of the files that a name finds, the first wins
PICKLED = (".model", ".pt", ".pth")
PUBLISHED_SIZES = {published.size for published in PUBLISHED.values()}  # others need no checksum to be told apart
UNLISTED_CROP = "face_box"  # of weights that no card tells of: these architectures are trained on AVA's boxes


def cache_folder() -> Path:
    """Where fetched detectors lie, in the user's cache; it may not be there yet."""
    return platformdirs.user_cache_path("pushpull") / "detectors"


def folders() -> list[Path]:
    """Where a name is looked for: the folder that PUSHPULL_DETECTORS names, then the cache.

    Raises:
        CheckpointError: PUSHPULL_DETECTORS names no folder.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if not chosen:
        return [cache_folder()]
    if not Path(chosen).is_dir():
        raise CheckpointError(f"{FOLDER_VARIABLE} is {chosen}, which is no folder")
    return [Path(chosen), cache_folder()]


def find_detector(name: str) -> Path | None:
    """The file of a detector's name in :func:`folders`, None if it is in none of them.

    Raises:
        CheckpointError: as :func:`folders`.
    """
    if not NAME.fullmatch(name):
        return None
    paths = (folder / (name + suffix) for folder in folders() for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def load_detector(name_or_path: str | Path, device: str | torch.device = "auto", point: str | None = None) -> Detector:
    """A detector, in evaluation mode; its architecture is recognised by its tensors.

    One whose card has ``window_seconds`` scores longer tracks in windows, see :mod:`pushpull.detectors.windowed`.
    Log-odds 0 is where it decides, see :mod:`pushpull.detectors.points`; ``point="own"`` gives the network's own
    log-odds.

    Args:
        name_or_path: a name that ``python -m pushpull.detectors`` lists, or the path of a ``.safetensors``,
            ``.model``, ``.pt`` or ``.pth`` file. Names are looked for in the folder that PUSHPULL_DETECTORS names,
            in the user's cache, and among the checkpoints that ship. Either may end in ``+clip-norm=0.3``: it then
            normalises by the clip's own statistics as well, see :mod:`pushpull.detectors.clip_norm`, and decides at
            its own threshold.
        device: "auto", "cpu", "cuda", "mps".
        point: where it decides: "speaking", "strict_sync" or "own"; None is "speaking" where its card has that point,
            else its own threshold, which also published weights begin with.

    Returns:
        The detector with its ``.card``; ``card["sha256"]`` is the file's, ``card["point"]`` says where it decides.

    Raises:
        CheckpointError: no such detector (the message says what to do), a file that is damaged or holds code, of an
            architecture that is not registered, or with tensors that do not fit it.
        ValueError: no such device, no such point on its card, or no such share of the clip's statistics.
    """
    name, share = split_share(str(name_or_path))
    detector = _load(name_or_path if share is None else name, resolve_device(device))
    detector = remember_content(detector if share is None else ClipNormed(detector, share))
    return at_point(windowed(detector), point)


def _load(name_or_path: str | Path, device: torch.device) -> Detector:
    path = _path_of(name_or_path)
    if path is None:
        return load_model(name_or_path, device)
    if path.suffix == SAFETENSORS:
        metadata = _metadata(path)
        return load_model(path, device) if "config" in metadata else _load_safetensors(path, metadata).to(device)
    return load_published(path).to(device)


def file_of(name_or_path: str | Path) -> Path:
    """The file that :func:`load_detector` reads.

    Raises:
        CheckpointError: as there.
    """
    return _path_of(name_or_path) or find_checkpoint(name_or_path)


def load_published(path: str | Path) -> Detector:
    """The detector in a file that its authors' code saved, on the CPU.

    A file with the content of a published one gets that one's card; another's card says what its tensors tell.

    Raises:
        CheckpointError: as :func:`load_detector`.
    """
    path = Path(path)
    detector, architecture = _build(path)
    digest = sha256(path)
    listed = published_by(digest)
    card = Card(name=path.stem, architecture=architecture, crop=UNLISTED_CROP, source=path.name).to_dict()
    if listed is not None:
        card = listed.card()
    detector.card = card | {"sha256": digest}
    return detector


def save_detector(
    path: str | Path, detector: torch.nn.Module, card: dict | None = None, *, weights: str = "float32"
) -> Path:
    """Write ``path.safetensors``, and its card as ``path.json`` for people to read; each is whole or not there.

    Args:
        path: with or without the suffix; the folder is made if needed.
        detector: of a registered architecture; one that :func:`load_detector` gave is saved as the network in it, whose
            card says where it decides and in what windows.
        card: anything JSON can hold about the detector, in place of the card that it carries; name, architecture and
            number of parameters are added.
        weights: how matrices and kernels are stored, "float32", "float16" or "int8" (loaded as float32), see
            :func:`pushpull.detectors.stored.pack`.

    Returns:
        The path of the weights.

    Raises:
        ValueError: the detector's class is not registered, or it is a copy made for attacks.
    """
    detector = undecided(detector)
    detector = detector.detector if isinstance(detector, Windowed) else detector
    if isinstance(detector, TalkNet):
        return save_checkpoint(path, detector, detector.card if card is None else card, weights=weights)
    architecture = architecture_of(detector)
    if architecture is None:
        raise ValueError(
            f"{type(detector).__name__} cannot be saved: its architecture is not registered (there are "
            f"{', '.join(list_architectures())}; see register_detector)"
        )
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in detector.state_dict().items()}
    if state.keys() != type(detector)().state_dict().keys():
        raise ValueError("this is a copy made for attacks, with folded normalisations; save the original")
    path = weights_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = pack(state, weights)
    embeddings = {REFERENCE + name: x.detach().cpu() for name, x in reference_embeddings_of(detector).items()}
    state |= pack(embeddings, "float32" if weights == "float32" else "float16")
    parameters = sum(parameter.numel() for parameter in detector.parameters())
    card = detector.card if card is None else card
    card = {**card, "name": path.stem, "architecture": architecture, "parameters": parameters}
    for name in ("sha256", "point"):
        card.pop(name, None)
    with replacing(path) as file:
        file.write(save(state, {"format": "pt", "architecture": architecture, "card": json.dumps(card)}))
    with replacing(path.with_suffix(".json"), "w") as file:
        file.write(json.dumps(card | {"sha256": sha256(path)}, indent=2, ensure_ascii=False) + "\n")
    return path


def list_detectors(shipped: str | Path = CHECKPOINTS) -> list[dict]:
    """The cards of all detectors that have a name here, by name.

    Each has ``where``: "shipped", "published" (not on this machine yet) or the path of its file.

    Args:
        shipped: the folder of the checkpoints that count as shipped.

    Raises:
        CheckpointError: as :func:`folders`.
    """
    talknet = {"architecture": "talknet", "crop": "talknet_demo"}
    cards = {card["name"]: talknet | card | {"where": "shipped"} for card in list_models(shipped)}
    cards |= {
        name: published.card() | {"bytes": published.size, "where": "published"}
        for name, published in PUBLISHED.items()
    }
    here = sorted(path for folder in reversed(folders()) for path in folder.glob("*") if path.suffix in SUFFIXES)
    for name in dict.fromkeys(path.stem for path in here):
        path = find_detector(name)
        if path is not None:
            cards[name] = _told(path) | {"name": name, "bytes": path.stat().st_size, "where": str(path)}
    return [cards[name] for name in sorted(cards)]


def _told(path: Path) -> dict:
    """What is known of a file without its tensors being read; nothing of a damaged one, or an unpublished pickle."""
    if path.suffix != SAFETENSORS:
        listed = published_by(sha256(path)) if path.stat().st_size in PUBLISHED_SIZES else None
        return listed.card() if listed else {}
    try:
        card = json.loads(_metadata(path).get("card", "{}"))
    except (CheckpointError, ValueError):
        return {}
    return published_points(card) if isinstance(card, dict) else {}


def _path_of(name_or_path: str | Path) -> Path | None:
    """The file that is meant; None if it is a shipped checkpoint's name."""
    text = str(name_or_path)
    if text.endswith(".py"):
        raise CheckpointError(f"{text} is a program; as --model does, pushpull.detectors.open_detector runs it")
    if isinstance(name_or_path, Path) or text.endswith((SAFETENSORS, *PICKLED)) or Path(text).is_file():
        return Path(name_or_path)
    if (path := find_detector(text)) is not None:
        return path
    if text in PUBLISHED:
        raise CheckpointError(
            f"{text} is not on this machine: run  {COMMAND} fetch {text}  or download {PUBLISHED[text].url} "
            f"and put it at {cache_folder() / text}.model"
        )
    shipped = [card["name"] for card in list_models()]
    if not {text, f"talknet-{text}"} & set(shipped):
        if text.strip() and Path(text).is_dir():
            raise CheckpointError(f"{text} is a folder: name a {SAFETENSORS} file in it")
        known = ", ".join(sorted({*shipped, *PUBLISHED}))
        raise CheckpointError(f"no detector is called {text!r}; there are: {known}; or give the path of a file")
    return None


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise CheckpointError(f"{path} is a folder, not a checkpoint" if path.is_dir() else f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or no safetensors file ({error}): copy or download it again"
        ) from error


def _load_safetensors(path: Path, metadata: dict[str, str]) -> Detector:
    detector, architecture = _build(path)
    try:
        card = check_card(path, json.loads(metadata.get("card", "{}")))
    except json.JSONDecodeError as error:
        raise CheckpointError(f"the card of {path} is no JSON: {error}") from error
    card = card | {"name": path.stem, "architecture": architecture, "sha256": sha256(path)}
    detector.card = published_points({"crop": UNLISTED_CROP} | with_sidecar(path, card))
    return detector


def _build(path: Path) -> tuple[Detector, str]:
    try:
        state = unpack(read_state(path))
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{path} is not a checkpoint of this version: {error}") from error
    reference = {name: state.pop(name) for name in list(state) if name.startswith(REFERENCE)}
    architecture = recognise(state)
    if architecture is None:
        some = ", ".join(list(state)[:3])
        raise CheckpointError(
            f"{path} is of an architecture that is not known here (its first tensors are {some}); known are "
            f"{', '.join(list_architectures())}. For your own, see pushpull.detectors.wrap and register_detector"
        )
    detector = get_architecture(architecture).from_state(state, source=str(path))
    if reference:
        detector.reference_embeddings = {name.removeprefix(REFERENCE): tensor for name, tensor in reference.items()}
    return detector, architecture
