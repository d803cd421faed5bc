"""Audio front-ends inside the model's graph: gradients reach the waveform.

Both take (B, N) full-scale audio at 16 kHz and give one feature frame per 10 ms, four per video frame.

Framing. Frame k covers samples 160 k to 160 k + 400. The feature library behind the official TalkNet
(python_speech_features 0.6) computes 4 T - 1 frames of the 640 T samples of a clip, the last of them padded
with 80 zeros, and the official loader then repeats the clip's *first* frame to reach 4 T. Here the zero
padding simply goes on, so the last frame holds the last 160 samples and 240 zeros: every frame the library
computes is the same here, and the end of a clip does not see its start.

torchaudio computes what it computes alike: the pre-emphasis of the MFCC, and the whole spectrogram. Its MFCC are
others: mel triangles are not rounded to bins, the cosine transform is float32, frames are padded on both sides.
"""

import functools

import torch
import torch.nn.functional as F
import torchaudio.functional as audio_functional
from torch import Tensor

from pushpull.clip import SAMPLE_RATE

WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms: four hops per video frame
FFT = 512
PREEMPHASIS = 0.97
MEL_FILTERS = 26
CEPSTRA = 13
LIFTER = 22
FULL_SCALE = 32768.0  # the features are defined on 16-bit sample values; without it c0 alone shifts by 20.794
SILENCE = 2.220446049250313e-16  # float64 epsilon: what the log of an exactly zero energy is taken of


def mfcc(audio: Tensor, frames: int) -> Tensor:
    """Mel-frequency cepstral coefficients as python_speech_features 0.6 computes them from 16-bit samples.

    Args:
        audio: (B, N) float32 or float64, full scale [-1, 1], 16 kHz.
        frames: feature frames wanted, 4 T.

    Returns:
        (B, frames, 13); c0 is the log of the frame's total energy. A frame of digital silence has a
        gradient of exactly zero.

    Raises:
        ValueError: ``audio`` is not (B, N) floating point, or ``frames`` is not positive.
    """
    _check(audio, frames)
    with torch.autocast(audio.device.type, enabled=False):
        samples = _at_least_float32(audio) * FULL_SCALE
        emphasised = audio_functional.preemphasis(samples, PREEMPHASIS)
        power = _power(torch.fft.rfft(_padded(emphasised, frames).unfold(1, WINDOW, HOP), FFT)) / FFT
        mel, cosine = _mel_and_cosine(power.dtype, power.device)
        cepstra = _log_where_sound(power @ mel) @ cosine
        energy = _log_where_sound(power.sum(dim=-1, keepdim=True))
        return torch.cat([energy, cepstra[..., 1:]], dim=-1)


def log_spectrogram(audio: Tensor, frames: int) -> Tensor:
    """Log-power spectrogram with linear frequency, the front-end of specTalkNet.

    The same frames as :func:`mfcc` under a Hann window, 201 bins of 40 Hz (no zero padding to 512: the extra
    bins would only interpolate). Powers are taken of 16-bit sample values and 1 is added before the log, about
    the power of 16-bit rounding noise, so that digital silence is 0 and no gradient explodes below it.

    Args:
        audio: (B, N) float32 or float64, full scale [-1, 1], 16 kHz.
        frames: feature frames wanted, 4 T.

    Returns:
        (B, frames, 201), non-negative.

    Raises:
        ValueError: as :func:`mfcc`.
    """
    _check(audio, frames)
    with torch.autocast(audio.device.type, enabled=False):
        samples = _at_least_float32(audio) * FULL_SCALE
        power = audio_functional.spectrogram(
            _padded(samples, frames),
            pad=0,
            window=torch.hann_window(WINDOW, dtype=samples.dtype, device=samples.device),
            n_fft=WINDOW,
            hop_length=HOP,
            win_length=WINDOW,
            power=2,
            normalized="window",
            center=False,
        )
        return torch.log1p(power.transpose(1, 2))


FRONT_ENDS = {"mfcc": mfcc, "spectrogram": log_spectrogram}


def _check(audio: Tensor, frames: int) -> None:
    if audio.ndim != 2 or audio.shape[1] == 0 or not audio.is_floating_point():
        raise ValueError(f"audio must be (B, N) floating point at full scale, got {tuple(audio.shape)} {audio.dtype}")
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")


def _at_least_float32(audio: Tensor) -> Tensor:
    return audio if audio.dtype == torch.float64 else audio.float()


def _padded(samples: Tensor, frames: int) -> Tensor:
    """(B, N) zero-padded or cut at the end to exactly ``frames`` windows."""
    return F.pad(samples, (0, (frames - 1) * HOP + WINDOW - samples.shape[1]))


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _log_where_sound(energy: Tensor) -> Tensor:
    """log(energy), and log(SILENCE) with zero gradient where there is none.

    Below the smallest normal number 1 / energy overflows, so subnormal energies count as none.
    """
    return torch.where(energy < torch.finfo(energy.dtype).tiny, SILENCE, energy).log()


@functools.lru_cache(maxsize=8)
def _mel_and_cosine(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mel triangles (257, 26) and the liftered orthonormal DCT-II (26, 13), made in float64.

    The triangles' corners are rounded down to FFT bins of (FFT + 1) f / rate, as the official features do.
    """
    highest = 2595 * torch.log10(torch.tensor(1 + SAMPLE_RATE / 2 / 700, dtype=torch.float64))
    hertz = 700 * (10 ** (torch.linspace(0, 1, MEL_FILTERS + 2, dtype=torch.float64) * highest / 2595) - 1)
    corner = torch.floor((FFT + 1) * hertz / SAMPLE_RATE)
    bins = torch.arange(FFT // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - corner[:-2]) / (corner[1:-1] - corner[:-2])
    falling = (corner[2:] - bins) / (corner[2:] - corner[1:-1])
    mel = torch.minimum(rising, falling).clamp(min=0)

    order = torch.arange(CEPSTRA, dtype=torch.float64)
    position = torch.arange(MEL_FILTERS, dtype=torch.float64)[:, None]
    cosine = torch.cos(torch.pi * order * (2 * position + 1) / (2 * MEL_FILTERS)) * (2 / MEL_FILTERS) ** 0.5
    cosine[:, 0] /= 2**0.5
    lifter = 1 + LIFTER / 2 * torch.sin(torch.pi * order / LIFTER)
    return mel.to(device, dtype), (cosine * lifter).to(device, dtype)
