"""What <pp-player> plays: view.json and the clips beside it.

view.json holds, for T frames at 25 fps: ``screens`` (what is shown side by side, each with a whole-scene and a face
clip), ``size`` (width and height of the scene), ``scores`` (log-odds of speaking, null where no face was found),
``boxes`` (face, in shares of the picture), ``strips`` (classes 0, 1 or -1 per frame), ``sound`` and ``spectrogram``
(the perturbation, magnified), ``embeddings`` (points in the plane).
"""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image
from scipy.signal import stft

from pushpull.clip import FPS, SAMPLE_RATE, Clip
from pushpull.demo.intake import Subject
from pushpull.demo.storage import ResultFolder
from pushpull.faces import paste_back
from pushpull.faces.scene import write_scene
from pushpull.media import quantise_audio, quantise_video, write_preview, write_stimulus

SIDE = 640  # pixels, longer side of the whole-scene previews
BINS = 24  # waveform columns per second
NEUTRAL = 128  # grey level that stands for "no change" in the magnified perturbation
# Darker and brighter pixels of the perturbation glow in the colours of clean and attacked; what did not move is dark.
HEAT = LinearSegmentedColormap.from_list("heat", ["#43c9be", "#0c0e12", "#ff7a52"])
SHOWN = 120  # grey levels that stand for a change of eps
LOUD = 0.25  # of full scale: how loud noise at eps is played
FLOOR, TOP = -130.0, -50.0  # dB full scale of the spectrogram's darkest and brightest colour


def write_clean(folder: ResultFolder, subject: Subject, face: int, clip: Clip) -> dict:
    """The untouched clip: whole scene as H.264, face bit-exact. Returns its entry of ``screens``."""
    subject.folder.path.mkdir(exist_ok=True)  # swept away if the visitor came back after hours
    scene, exact = (subject.folder.path / f"{name}.mp4" for name in (f"clean{face}_scene", f"clean{face}_{clip.crop}"))
    if not scene.exists():
        write_preview(scene, (frame for frame, _ in subject.scene(face).frames(SIDE)), clip.audio)
    if not exact.exists():
        write_stimulus(exact, quantise_video(clip.video), quantise_audio(clip.audio))
    for path in (scene, exact):
        folder.share(path)
    screen = _screen("clean", "Clean", "clean", [["", "clean"]], prefix="clean")
    return screen | {"files": {"scene": scene.name, "face": exact.name}}


def write_attacked(
    folder: ResultFolder, subject: Subject, face: int, clip: Clip, stored: Clip, scene: Path | None = None
) -> dict:
    """The attacked ``clip`` as a file holds it. Returns its entry of ``screens``.

    Args:
        folder: gets the clips.
        subject, face: what was attacked.
        clip, stored: before and after.
        scene: a file of ``folder`` that shows the scene with the attack in it already, and whose scores are known.
    """
    if scene is None:
        write_scene(folder.path / "attacked_scene.mp4", subject.scene(face), clip, stored, max_side=SIDE)
    write_stimulus(folder.path / "attacked_face.mp4", quantise_video(stored.video), quantise_audio(stored.audio))
    last = ["stored", "stored"] if scene is None else ["in the file", "file"]
    screen = _screen("adversarial", "Attacked", "attacked", [["adversarial", "adversarial"], last], prefix="attacked")
    return screen if scene is None else screen | {"files": screen["files"] | {"scene": scene.name}}


def write_noise(
    folder: ResultFolder, subject: Subject, face: int, clip: Clip, adversarial: Clip, eps: dict[str, float]
) -> dict:
    """The perturbation alone, magnified to be seen (scene as a heat map, face grey) and heard: entry of ``screens``."""
    gain, volume = gains(eps)
    shown = (adversarial.video - clip.video.astype(np.float32)) * gain
    sound = np.clip((adversarial.audio - clip.audio) * volume, -1, 1).astype(np.float32)

    heat = (HEAT(np.arange(256))[:, :3] * 255).astype(np.uint8)

    def scenes():
        with closing(subject.scene(face).frames(SIDE)) as frames:
            for (frame, box), change in zip(frames, shown, strict=True):
                yield heat[paste_back(np.full_like(frame, NEUTRAL), change, box, clip.crop)[..., 0]]

    write_preview(folder.path / "noise_scene.mp4", scenes(), sound)
    write_stimulus(folder.path / "noise_face.mp4", quantise_video(NEUTRAL + shown), quantise_audio(sound))
    parts = [f"picture × {gain:.0f}" if eps["video"] else "", f"sound × {volume:.0f}" if eps["audio"] else ""]
    screen = _screen("noise", "Noise alone, magnified", "noise", [], prefix="noise")
    return screen | {"note": ", ".join(part for part in parts if part)}


def gains(eps: dict[str, float]) -> tuple[float, float]:
    """By how much the perturbation of the picture and of the sound is multiplied to be noticed."""
    return (SHOWN / eps["video"] if eps["video"] else 1.0), (LOUD / eps["audio"] if eps["audio"] else 1.0)


def envelope(audio: np.ndarray, gain: float = 1.0) -> list[list[float]]:
    """Lowest and highest value of each 1/24 s, for drawing."""
    columns = max(8, round(len(audio) / SAMPLE_RATE * BINS))
    pieces = np.array_split(np.clip(audio * gain, -1, 1), columns)
    return [[round(float(piece.min()), 4), round(float(piece.max()), 4)] for piece in pieces]


def write_spectrogram(folder: ResultFolder, noise: np.ndarray) -> dict:
    """Log-power spectrogram of the audio perturbation as a picture, low frequencies at the bottom."""
    _, _, spectrum = stft(noise, fs=SAMPLE_RATE, window="hann", nperseg=512, noverlap=352, scaling="spectrum")
    level = 20 * np.log10(np.abs(spectrum) + 1e-12)
    share = np.clip((level[::-1] - FLOOR) / (TOP - FLOOR), 0, 1)
    rgb = (colormaps["magma"](share)[..., :3] * 255).astype(np.uint8)
    Image.fromarray(rgb).save(folder.path / "noise_spectrogram.png")
    return {
        "file": "noise_spectrogram.png",
        "title": f"spectrogram of the noise, 0 to 8 kHz, {FLOOR:.0f} to {TOP:.0f} dBFS",
    }


def write_view(folder: ResultFolder, subject: Subject, face: int, view: dict, name: str = "view.json") -> str:
    """Add what every view has and write it as ``name``; its address."""
    scores = {name: [_score(score) for score in values] for name, values in view["scores"].items()}
    common = {"fps": FPS, "frames": len(subject.footage.tracks[face].boxes), "size": size(subject)}
    common["boxes"] = boxes(subject, face)
    (folder.path / name).write_text(json.dumps(view | common | {"scores": scores}), encoding="utf-8")
    return folder.url(name)


def _score(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)


def size(subject: Subject) -> list[int]:
    """Width and height of the clip's pictures in pixels, for the room they take before they are loaded."""
    height, width = subject.footage.size
    return [int(width), int(height)]


def boxes(subject: Subject, face: int) -> list[list[float]]:
    """x1, y1, x2, y2 of the face in every frame, in shares of the picture."""
    height, width = subject.footage.size
    found = subject.footage.tracks[face].boxes.astype(np.float64)
    return np.round(found / [width, height, width, height], 4).tolist()


def strip(title: str, classes: np.ndarray) -> dict:
    """One row of classes under the scores."""
    return {"title": title, "classes": [int(value) for value in classes]}


def _screen(identifier: str, title: str, sound: str, verdicts: list[list[str]], *, prefix: str) -> dict:
    files = {shot: f"{prefix}_{shot}.mp4" for shot in ("scene", "face")}
    return {"id": identifier, "title": title, "sound": sound, "verdicts": verdicts, "files": files}
