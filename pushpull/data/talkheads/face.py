"""A face that lives: what it does beside speaking, and all of it together, frame by frame.

Blinks, glances, brows, nods on loud syllables, breath, the idle wandering of a head; chewing, smiling, yawning,
licking lips. Angles in radians, lengths in dm, times in seconds; everything comes from one generator.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit

from pushpull.clip import FPS
from pushpull.data.talkheads.perform import MARGIN, Performance
from pushpull.data.talkheads.script import Role
from pushpull.data.talkheads.sound import loudness, speech_activity
from pushpull.data.talkheads.visemes import mouth, mouth_units

SIDES = ("Left", "Right")
BLINK_CLOSING, BLINK_OPENING = 0.07, 0.16  # seconds


@dataclass(frozen=True, eq=False)
class FaceMotion:
    """One face over T frames.

    Args:
        units: ARKit face unit -> (T,) weight 0..1.
        turn: (T, 3) yaw, pitch, roll of the head, radians. shift: (T, 3) dm.
        gaze: (T, 2) yaw and pitch of the eyes, radians. sway: (T, 3) dm, how far long hair lags.
    """

    units: dict[str, np.ndarray]
    turn: np.ndarray
    shift: np.ndarray
    gaze: np.ndarray
    sway: np.ndarray


def animate(
    role: Role, performance: Performance, number: int, seed: int, *, facing: tuple[float, float] = (0.0, 0.0)
) -> FaceMotion:
    """Role ``number``'s face through the clip.

    A picture shows the middle of its frame's 40 ms: frame t is the moment (t + 1/2) / 25 s.

    Args:
        facing: (yaw, pitch) radians, where the face points between its movements; 0 is into the camera.
    """
    rng = np.random.default_rng([seed, number, 2])
    frames = performance.labels.shape[1]
    times = (np.arange(frames) + 0.5) / FPS
    phones = performance.lips[number]
    voice = loudness(performance.voices[number], times + MARGIN)
    talking = gaussian_filter1d(speech_activity(phones, frames).astype(float), 4, mode="nearest")

    asymmetry = float(rng.normal(0, 0.08))
    units = mouth_units(
        mouth(phones, times, voice), articulation=role.articulation, asymmetry=np.clip(asymmetry, -0.2, 0.2)
    )
    _raise(units, _expression(role, rng, times, talking, asymmetry))
    if role.act:
        _raise(units, ACTS[role.act](rng, times))
    turn, shift = _head(role, rng, times, voice, talking, facing)
    gaze = _gaze(rng, times, turn)
    _raise(units, _lids(rng, times, gaze, talking))
    _raise(units, _brows(role, rng, times, voice, talking))
    lag = gaussian_filter1d(np.gradient(turn[:, 0], axis=0) * FPS, 2, mode="nearest")
    sway = np.stack([-0.25 * lag, np.zeros(frames), np.zeros(frames)], axis=1)
    return FaceMotion({k: np.clip(v, 0, 1) for k, v in units.items()}, turn, shift, gaze, sway)


def _raise(units, more):
    for name, values in more.items():
        units[name] = units.get(name, 0) + values


def _drift(rng, times, rate, count=5):
    """(T,) a smooth wandering about 0 with a root mean square near 1; ``rate`` in Hz."""
    rates, phases = rng.uniform(0.25, 1.6, count) * rate, rng.uniform(0, 2 * np.pi, count)
    return np.sin(2 * np.pi * np.outer(times, rates) + phases).sum(axis=1) * np.sqrt(2 / count)


def _bump(times, at, rise, fall):
    """(T,) 0 to 1 and back around ``at``: a smooth hill with its own slopes."""
    away = np.where(times < at, (times - at) / rise, (times - at) / fall)
    return np.exp(-(away**2))


def _hold(times, start, stop, ramp):
    """(T,) 1 between ``start`` and ``stop`` with soft slopes of ``ramp`` seconds."""
    return expit((times - start) * 4 / ramp) * expit((stop - times) * 4 / ramp)


def _expression(role, rng, times, talking, asymmetry):
    """A mood that comes and goes, and the little movements of lips that rest."""
    smile = role.smile * np.clip(1 + 0.4 * _drift(rng, times, 0.15), 0, 2)
    units = {}
    for side, factor in zip(SIDES, (1 + asymmetry, 1 - asymmetry), strict=True):
        units["mouthSmile" + side] = smile * factor
        units["cheekSquint" + side] = 0.6 * smile
        units["eyeSquint" + side] = 0.25 * smile
    idle = 1 - talking
    for _ in range(rng.poisson(0.12 * (times[-1] + 1))):  # lips pressed for a moment, or a swallow
        press = 0.35 * idle * _bump(times, rng.uniform(0, times[-1]), 0.12, 0.2)
        for side in SIDES:
            _raise(units, {"mouthPress" + side: press})
        _raise(units, {"mouthRollLower": 0.5 * press, "mouthShrugLower": 0.5 * press})
    # Nobody's jaw is quite closed and quite still.
    _raise(units, {"jawOpen": np.clip(0.008 + 0.008 * _drift(rng, times, 0.4), 0, None) * idle})
    _raise(units, {"mouthLeft": np.clip(0.03 * _drift(rng, times, 0.3), 0, None)})
    return units


def _head(role, rng, times, voice, talking, facing):
    lively = role.liveliness * (0.45 + 0.75 * talking)
    yaw = facing[0] + lively * 0.045 * _drift(rng, times, 0.35) + _steps(rng, times, 0.25, 0.05 * role.liveliness)
    pitch = facing[1] + lively * 0.028 * _drift(rng, times, 0.45)
    roll = lively * 0.022 * _drift(rng, times, 0.3)
    # Heads nod a little after the loudest syllables, and people who listen nod too.
    for at in _accents(voice, times):
        if rng.random() < 0.55:
            pitch = pitch + role.liveliness * rng.uniform(0.015, 0.055) * _bump(times, at + 0.06, 0.09, 0.2)
    if talking.mean() < 0.3 and rng.random() < 0.5:
        begin, count = rng.uniform(0, max(times[-1] - 1, 0.1)), int(rng.integers(1, 4))
        for k in range(count):
            pitch = pitch + role.liveliness * 0.06 * 0.75**k * _bump(times, begin + 0.38 * k, 0.1, 0.12)
    breath = np.sin(2 * np.pi * (rng.uniform(0.2, 0.33) * times + rng.random()))
    shift = np.stack(
        [lively * 0.02 * _drift(rng, times, 0.25), 0.010 * breath, lively * 0.02 * _drift(rng, times, 0.2)], axis=1
    )
    return np.stack([yaw, pitch, roll], axis=1), shift


def _accents(voice, times):
    """Times of the loud syllables."""
    smooth = gaussian_filter1d(voice, 1.5, mode="nearest")
    peaks = (smooth[1:-1] > smooth[:-2]) & (smooth[1:-1] >= smooth[2:]) & (smooth[1:-1] > 0.55)
    return times[1:-1][peaks]


def _steps(rng, times, rate, size):
    """(T,) holds a place and moves on now and then: the big turns of a head, eased as muscles ease them."""
    out = np.full(len(times), float(rng.normal(0, size)))
    at = rng.exponential(1 / rate)
    while at < times[-1]:
        target = float(np.clip(rng.normal(0, size), -2.2 * size, 2.2 * size))
        ease = expit((times - at) / rng.uniform(0.05, 0.1))
        out = out + (target - out) * ease
        at += 0.3 + rng.exponential(1 / rate)
    return out


def _gaze(rng, times, turn):
    """Saccades: eyes jump within 40 ms, hold, mostly come back to the camera, and make up for the head's turning."""
    look = np.zeros((len(times), 2))
    at = 0.0
    while at < times[-1] + 1:
        away = rng.random() < 0.3
        target = np.array([rng.normal(0, 0.16), rng.normal(0.02, 0.07)]) if away else rng.normal(0, 0.018, 2)
        look[times >= at] = np.clip(target, -0.35, 0.35)
        at += rng.uniform(0.25, 1.0) if away else rng.uniform(0.5, 2.5)
    return np.clip(look - 0.8 * (turn[:, :2] - turn[:, :2].mean(axis=0)), -0.5, 0.5)


def _lids(rng, times, gaze, talking):
    """Blinks, some double, more often in speech; lids follow the eyes up and down."""
    shut = np.zeros(len(times))
    at = rng.exponential(2.0)
    while at < times[-1] + 0.5:
        shut = np.maximum(shut, _bump(times, at, BLINK_CLOSING * 0.6, BLINK_OPENING * 0.6))
        busy = float(np.interp(at, times, talking))
        at += 0.35 if rng.random() < 0.12 else 0.5 + rng.exponential(3.2 - 1.2 * busy)
    units = {}
    down, up = np.clip(gaze[:, 1], 0, None), np.clip(-gaze[:, 1], 0, None)
    for side in SIDES:
        units["eyeBlink" + side] = shut
        units["eyeLookDown" + side] = 1.2 * down * (1 - shut)
        units["eyeLookUp" + side] = 1.2 * up * (1 - shut)
    for side, sign in (("Left", 1), ("Right", -1)):
        outward = sign * gaze[:, 0]
        units["eyeLookOut" + side] = np.clip(outward, 0, None)
        units["eyeLookIn" + side] = np.clip(-outward, 0, None)
    return units


def _brows(role, rng, times, voice, talking):
    raised = np.clip(0.06 * _drift(rng, times, 0.25), 0, None)
    for at in _accents(voice, times):
        if rng.random() < 0.25:
            raised = raised + rng.uniform(0.15, 0.5) * _bump(times, at, 0.12, 0.3)
    raised = np.clip(role.liveliness * raised, 0, 0.8)
    frown = np.clip(0.12 * _drift(rng, times, 0.2) - 0.05, 0, None)
    units = {"browInnerUp": 0.8 * raised}
    for side in SIDES:
        units["browOuterUp" + side] = 0.7 * raised
        units["browDown" + side] = frown * (1 - 0.5 * talking)
        units["eyeWide" + side] = 0.15 * raised
    return units


def _chew(rng, times):
    """Lips closed most of the time, the jaw going round; a pause to swallow."""
    rate = rng.uniform(1.1, 1.9)
    pace = np.cumsum(rate * (1 + 0.25 * _drift(rng, times, 0.4))) / FPS
    on = 1 - sum(_hold(times, at, at + 0.5, 0.2) for at in [rng.uniform(0.3, times[-1] + 1.5)])
    cycle = (0.5 - 0.5 * np.cos(2 * np.pi * pace)) * np.clip(on, 0, 1)
    side = rng.choice(SIDES)
    apart = 0.25 if rng.random() < 0.35 else 0.0  # some chew with an open mouth
    jaw = rng.uniform(0.14, 0.32) * cycle
    grind = np.clip(np.sin(2 * np.pi * pace), 0, 1) * cycle
    units = {"jawOpen": jaw, "mouthClose": (1 - apart) * jaw, "jaw" + side: 0.5 * grind, "mouth" + side: 0.25 * grind}
    units["cheekPuff"] = 0.12 * (1 + _drift(rng, times, 0.5)).clip(0)
    for s in SIDES:
        units["mouthPress" + s] = 0.2 * (1 - cycle)
    return units


def _smile(rng, times):
    """One or two broad smiles, with teeth or without."""
    amount = np.zeros(len(times))
    at = rng.uniform(-0.5, 0.8)
    while at < times[-1]:
        length = rng.uniform(0.8, 2.5)
        amount = np.maximum(amount, rng.uniform(0.55, 1.0) * _hold(times, at, at + length, rng.uniform(0.2, 0.5)))
        at += length + rng.uniform(0.5, 2)
    teeth = rng.uniform(0, 1) * (rng.random() < 0.6)
    units = {"jawOpen": 0.12 * teeth * amount}
    for side in SIDES:
        units["mouthSmile" + side] = 0.85 * amount
        units["cheekSquint" + side] = 0.7 * amount
        units["eyeSquint" + side] = 0.35 * amount
        units["mouthUpperUp" + side] = 0.35 * teeth * amount
        units["mouthLowerDown" + side] = 0.3 * teeth * amount
    return units


def _yawn(rng, times):
    """The jaw goes down slowly, stays, and comes back; eyes narrow."""
    length = rng.uniform(1.2, 2.4)
    start = rng.uniform(-0.6, max(times[-1] - length, 0.2))
    amount = _hold(times, start, start + length, rng.uniform(0.5, 0.9))
    units = {"jawOpen": rng.uniform(0.55, 0.95) * amount, "browInnerUp": 0.5 * amount, "mouthFunnel": 0.25 * amount}
    for side in SIDES:
        units["eyeSquint" + side] = 0.7 * amount
        units["eyeBlink" + side] = 0.5 * amount
        units["mouthStretch" + side] = 0.3 * amount
        units["noseSneer" + side] = 0.25 * amount
    return units


def _lick(rng, times):
    """The tongue comes out and wets the lips, then they are pressed together; again after a while."""
    units = {}
    at = rng.uniform(0.1, 0.8)
    while at < times[-1]:
        out, press = _hold(times, at, at + 0.45, 0.15), _bump(times, at + 0.75, 0.12, 0.2)
        _raise(units, {"jawOpen": 0.16 * out, "tongueOut": 0.45 * out, "mouthRollLower": 0.35 * out + 0.5 * press})
        _raise(units, {"mouthRollUpper": 0.4 * press, "mouthLeft": 0.15 * out})
        for side in SIDES:
            _raise(units, {"mouthPress" + side: 0.4 * press})
        at += rng.uniform(1.2, 2.6)
    return units


def _mouthing(rng, times):
    """Opens and shuts at random, faster and slower than speech: as if about to say something."""
    speed = rng.uniform(0.6, 3.0)
    opening = np.clip(0.5 * _drift(rng, times, speed) + rng.uniform(-0.2, 0.4), 0, 1)
    round_lips = np.clip(0.5 * _drift(rng, times, 0.7 * speed), 0, 1)
    units = {"jawOpen": 0.4 * opening, "mouthPucker": 0.5 * round_lips, "mouthFunnel": 0.3 * round_lips}
    for side in SIDES:
        units["mouthStretch" + side] = np.clip(0.3 * _drift(rng, times, speed), 0, 1)
        units["mouthLowerDown" + side] = 0.3 * opening
    return units


ACTS = {"chew": _chew, "smile": _smile, "yawn": _yawn, "lick": _lick, "mouth": _mouthing}
