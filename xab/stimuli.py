"""From shipped clips to pairs of files: attack, store bit-exactly, read back, and score what was stored."""

import hashlib
import os
import random
import secrets
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pushpull  # noqa: F401  isort: skip  (before torch: it says how long idle threads spin)

import numpy as np
import torch

from pushpull.attacks import ATTACKS, paper_budget
from pushpull.clip import FPS, Clip
from pushpull.detectors import attack_copy, card_of, load_detector, point_of
from pushpull.faces import read_clips
from pushpull.media import dequantise_audio, quantise_audio, quantise_video, read_stimulus, write_stimulus
from pushpull.runs.cards import read_card
from pushpull.runs.labels import card_labels
from pushpull.runs.run import default_objective

from .files import clip_names, stimuli_folder, sweep
from .plan import Design, DesignError, PairSpec, model_label, pair_specs
from .selfcheck import clip_path
from .store import Conflict, NotFound, Pair, Stimulus, Store

PURE = 0.85  # share of a span's frames that must be of its class: people pause between sentences
BEAT = 3.0  # seconds between a worker's signs of life
ENCODINGS = {"reference": 1, "choice": 0}  # shown as X; shown as A or B


@dataclass(frozen=True, eq=False)
class Span:
    """A stretch of one face.

    Args:
        clip: its labels say where the face speaks.
        speech: what it mostly does.
        labelled: whether that is known from the clip's card; otherwise it is a detector's opinion.
        other_crops: the same stretch by the name of the crop, for detectors that want faces cut in another way.
    """

    clip: Clip
    speech: bool
    labelled: bool
    other_crops: Mapping[str, Clip] = field(default_factory=dict)

    def cut_as(self, crop: str) -> Clip:
        """The stretch as a detector wants it, see ``crop`` of its card.

        Raises:
            KeyError: the footage was not cut that way.
        """
        return self.clip if self.clip.crop == crop else self.other_crops[crop]


def find_spans(clip: Clip, frames: int, others: Mapping[str, Clip] | None = None) -> list[Span]:
    """Stretches of ``frames`` frames, one after the other, in which the face (almost) only speaks or only does not.

    Args:
        clip: a face with labels.
        frames: length of a stretch.
        others: the same face by the name of another crop; their labels are taken from ``clip``.
    """
    spans, start = [], 0
    spoken = np.concatenate([[0], np.cumsum(clip.labels)]) if clip.frames else np.zeros(1)
    shares = (spoken[frames:] - spoken[:-frames]) / frames if clip.frames >= frames else np.zeros(0)
    purity = np.maximum(shares, 1 - shares)
    while start < len(purity):
        if purity[start] < PURE:
            start += 1
            continue
        while start + 1 < len(purity) and purity[start + 1] > purity[start]:
            start += 1
        part = replace(clip.span(start, start + frames), name=f"{clip.name} at {start / FPS:.2f} s")
        cuts = {
            crop: replace(other.span(start, start + frames), name=part.name, labels=part.labels)
            for crop, other in (others or {}).items()
        }
        spans.append(Span(clip=part, speech=bool(shares[start] > 0.5), labelled=True, other_crops=cuts))
        start += frames
    return spans


def speaking_scores(model: Callable, video: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """(T,) log-odds of speaking for stored arrays: video (T, 112, 112) uint8, audio (N,) int16."""
    clip = Clip(audio=dequantise_audio(audio), video=video)
    with torch.no_grad():
        return model(clip.inputs()).margin[0].double().numpy()


def collect_spans(
    assets: Path, design: Design, detectors: Mapping[str, Callable], progress: Callable[[str], None]
) -> list[Span]:
    """All usable stretches of the design's clips, cut as each detector wants faces.

    A face without labels gets those that the first detector gives it, and says so.
    """
    frames = max(1, int(design.seconds * FPS + 1e-9))
    crops = list(dict.fromkeys(card_of(detector).crop for detector in detectors.values()))
    first = next(iter(detectors.values()))
    spans = []
    for name in design.clips or clip_names(assets):
        progress(f"reading {name}")
        path = assets / Path(name).name
        footage, faces = read_clips(path, crops=crops), read_card(path).faces
        cut = {crop: footage.cut_as(crop) for crop in crops}
        for index, track in enumerate(footage.tracks):
            stored, *others = (_as_stored(cut[crop][index], f"{name} face {index + 1}") for crop in crops)
            labels = card_labels(faces, track)
            labelled = labels is not None
            if labels is None:
                scores = speaking_scores(first, stored.video, quantise_audio(stored.audio))
                labels = (scores > card_of(first).threshold).astype(np.int64)
            by_crop = {other.crop: other for other in others}
            for span in find_spans(replace(stored, labels=labels), frames, by_crop):
                spans.append(replace(span, labelled=labelled))
    return spans


def _as_stored(clip: Clip, name: str) -> Clip:
    """The clip with the sound that its file will hold."""
    return replace(clip, audio=dequantise_audio(quantise_audio(clip.audio)), name=name)


def assign(specs: list[PairSpec], spans: list[Span], seed: int) -> dict[int, Span]:
    """A span for each pair, by what its face does; each is used once before any is used again.

    Raises:
        DesignError: there is no span of a class that the design asks for.
    """
    chosen = {}
    for speech in (True, False):
        pool = [span for span in spans if span.speech == speech]
        random.Random(f"{seed}/spans/{speech}").shuffle(pool)
        wanted = [spec for spec in specs if spec.speech == speech]
        if wanted and not pool:
            kind = "speaks" if speech else "is silent"
            raise DesignError(
                f"no stretch of the chosen clips is long enough in which a face {kind} throughout: choose more clips, "
                f"make the stimuli shorter, or ask for no {'speech' if speech else 'non-speech'} pairs"
            )
        # Main pairs first, so that training and catch trials repeat a clip rather than they.
        for index, spec in enumerate(sorted(wanted, key=lambda spec: spec.phase != "main")):
            chosen[spec.position] = pool[index % len(pool)]
    return chosen


def measure(
    genuine,
    adversarial,
    scores: tuple[np.ndarray, np.ndarray],
    spec: PairSpec,
    labels: np.ndarray,
    *,
    threshold: float = 0.0,
) -> dict:
    """What is really in the two files, and what the detector makes of exactly them.

    Args:
        genuine, adversarial: video (T, 112, 112) uint8 and audio (640 T,) int16 of each file.
        scores: (T,) log-odds of speaking for each.
        labels: (T,) 1 where the face speaks.
        threshold: log-odds above which the detector says that it does.
    """
    video = np.abs(adversarial[0].astype(int) - genuine[0].astype(int))
    audio = np.abs(adversarial[1].astype(int) - genuine[1].astype(int))
    budgets = paper_budget(spec.eps_av, spec.modality)
    power = float((genuine[1].astype(float) ** 2).sum())
    noise = float((audio.astype(float) ** 2).sum())
    decisions = [score > threshold for score in scores]
    right = [decision == (labels == 1) for decision in decisions]
    return {
        "nominal_eps_audio_full_scale": budgets["audio"].eps,
        "nominal_eps_audio_steps": budgets["audio"].eps * 32768,
        "nominal_eps_video_levels": budgets["video"].eps,
        "stored_video_max_levels": int(video.max()),
        "stored_video_mean_levels": float(video.mean()),
        "stored_video_changed_share": float((video > 0).mean()),
        "stored_audio_max_steps": int(audio.max()),
        "stored_audio_mean_steps": float(audio.mean()),
        "stored_audio_changed_share": float((audio > 0).mean()),
        "audio_snr_db": 10 * float(np.log10(power / noise)) if power and noise else None,
        "identical": not video.any() and not audio.any(),
        "score_genuine": float(scores[0].mean()),
        "score_adversarial": float(scores[1].mean()),
        "frames_right_genuine": float(right[0].mean()),
        "frames_right_adversarial": float(right[1].mean()),
        "frames_flipped": float((decisions[0] != decisions[1]).mean()),
    }


def make_pair(
    spec: PairSpec, span: Span, model, design: Design, folder: Path, *, on_step: Callable | None = None
) -> Pair:
    """Attack one span and store both twins in both encodings, by the same path; paths are relative to ``folder``.

    Args:
        model: any detector; the face is cut as its card says, and the card is recorded with the pair.
        on_step: called with each step of the attack.
    """
    card = card_of(model)
    clip = span.cut_as(card.crop)
    options = {"grid": design.on_grid}
    if spec.attack != "fgsm":
        options["steps"] = design.steps
    if spec.attack == "pgd":
        options["restarts"] = 1  # section 4.2 gives one clip of each; restarts only cost time here
    with torch.no_grad():
        objective = default_objective(model(clip.inputs()))
    result = ATTACKS[spec.attack](**options).run(
        attack_copy(model),
        clip.inputs(),
        clip.targets(),
        budgets=paper_budget(spec.eps_av, spec.modality),
        seed=design.seed * 1000 + spec.position,
        objective=objective,
        on_step=on_step,
    )
    attacked = clip.with_inputs(result.stored)
    twins = {
        "genuine": (clip.video, quantise_audio(clip.audio)),
        "adversarial": (quantise_video(attacked.video), quantise_audio(attacked.audio)),
    }
    stimuli, stored = store_twins(twins, folder)
    scores = tuple(speaking_scores(model, *stored[twin]) for twin in ("genuine", "adversarial"))
    measures = measure(stored["genuine"], stored["adversarial"], scores, spec, clip.labels, threshold=card.threshold)
    measures["labels"] = "shipped" if span.labelled else "the model's own"
    measures["model_sha256"] = card.sha256
    point = point_of(model)  # what scores are relative to
    measures["detector"] = card.to_dict() | {"threshold": point.threshold + card.threshold, "point": point.name}
    measures["objective"] = objective
    named = vars(spec) | {"model": model_label(spec.model)}
    return Pair(**named, clip=clip.name, frames=clip.frames, measures=measures, stimuli=stimuli)


def store_twins(
    twins: Mapping[str, tuple[np.ndarray, np.ndarray]], folder: Path
) -> tuple[tuple[Stimulus, ...], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Write each twin in both encodings; returns the files, and what was read back from them."""
    stimuli, stored = [], {}
    for twin, (video, audio) in twins.items():
        for encoding, variant in ENCODINGS.items():
            # A name that tells nothing, should a path ever be seen.
            path = folder / f"{secrets.token_hex(12)}.mp4"
            write_stimulus(path, video, audio, variant=variant)
            stored[twin] = read_stimulus(path)
            data = path.read_bytes()
            stimuli.append(
                Stimulus(
                    twin=twin,
                    encoding=encoding,
                    path=f"{folder.name}/{path.name}",
                    bytes=len(data),
                    file_sha256=hashlib.sha256(data).hexdigest(),
                    video_sha256=hashlib.sha256(stored[twin][0].tobytes()).hexdigest(),
                    audio_sha256=hashlib.sha256(stored[twin][1].astype("<i2").tobytes()).hexdigest(),
                )
            )
    return tuple(stimuli), stored


def make_study(
    store: Store, study_id: str, *, data: Path, assets: Path, load: Callable = load_detector, clock=time.monotonic
) -> None:
    """Make every pair that a study still lacks: run by a process of its own, which may be killed and run again.

    Errors end in the study's state "failed" with a message for the experimenter.
    """
    design = store.studies.get(study_id).design
    specs = pair_specs(design)
    worker = f"{os.getpid()}-{secrets.token_hex(4)}"
    store.studies.claim(study_id, worker, len(specs))
    last = [0.0]

    def beat(note: str) -> None:
        if clock() - last[0] >= BEAT:
            last[0] = clock()
            store.studies.progress(study_id, worker, note)

    try:
        folder = stimuli_folder(data, study_id)
        folder.mkdir(parents=True, exist_ok=True)
        clip_path(data)
        models = {name: load(name, "cpu") for name in design.models}
        spans = collect_spans(assets, design, models, beat)
        chosen = assign(specs, spans, design.seed)
        made = store.studies.pairs(study_id)
        done = {pair.position for pair in made}
        sweep(folder, {Path(file.path).name for pair in made for file in pair.stimuli})
        for spec in specs:
            if spec.position in done:
                continue
            note = f"pair {spec.position + 1} of {len(specs)}: {spec.attack} on {chosen[spec.position].clip.name}"
            beat(note)
            pair = make_pair(
                spec,
                chosen[spec.position],
                models[spec.model],
                design,
                folder,
                on_step=lambda step, note=note: beat(f"{note}, step {step.step} of {step.steps}"),
            )
            store.studies.add_pair(study_id, worker, pair)
    except (Conflict, NotFound):
        raise  # another worker, or the experimenter, took the study: nothing to report there
    except Exception as error:
        if not isinstance(error, ValueError | OSError):  # those say what to do; anything else is ours to find
            traceback.print_exc()
        store.studies.finish(study_id, worker, error=f"{error}" or type(error).__name__)
    else:
        store.studies.finish(study_id, worker)
