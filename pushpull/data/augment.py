"""Augmentation on batches of tensors: faces flipped, cropped, turned, relit, blurred; voices mixed, coloured, noisy."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from pushpull.clip import FPS, SAMPLE_RATE


@dataclass(frozen=True)
class Augmentation:
    """How training examples are varied; each change happens to a whole clip, independently of the others.

    Args:
        shapes: "each": flip, crop and rotation by their own probabilities, together or not; "one": none of them or one,
            each of the four as likely, as TalkNet has it, whatever their probabilities.
        flip: probability of mirroring left and right.
        crop: probability of cutting out a square at a random place and scaling it to the picture's size.
        smallest_crop, largest_crop: the side of that square, as a share of the picture's (TalkNet: .7 to 1); beyond 1
            the picture is mirrored at its edges.
        rotate: probability of a rotation.
        degrees: its largest angle (TalkNet: 15).
        warp: probability of a bent picture, as if of another face: each point comes from up to some ``bend`` away.
        bend: standard deviation of that displacement, as a share of the picture's side.
        light: probability of another brightness (+-30 grey levels), contrast (x 0.7..1.3) and gamma (0.7..1.4).
        shade: probability of light from one side: up to half as much again on one, as much less on the other.
        grain: probability of sensor noise in every frame, with a standard deviation of up to 10 grey levels.
        erase: probability that a rectangle, of up to a third of the side each way, hides a part of the face: hands,
            microphones, captions.
        hold: probability of fewer pictures a second, 8 to 20, each shown until the next one comes, as webcams film.
        blur: probability of a coarser picture: of half or a third as many pixels, as faces far away have.
        overlap: probability that another clip's sound is mixed in (TalkNet: .5).
        overlap_db: the signal-to-noise ratio of that mixture is drawn from +- this many dB (TalkNet: 5).
        colour: probability of another microphone: a spectral tilt of up to +-6 dB per octave around 1 kHz.
        room: probability of an echo that dies away by 60 dB in 0.1 to 0.6 s.
        band: probability of a sound without high frequencies, from 1.5 to 6 kHz on, as of telephones and old films.
        hiss: probability of noise, 5 to 30 dB below the voice.
        gain_db: the loudness of the result is changed by up to this many dB.

    Raises:
        ValueError: ``shapes`` is neither.
    """

    shapes: str = "each"
    flip: float = 0.5
    crop: float = 0.5
    smallest_crop: float = 0.7
    largest_crop: float = 1.1
    rotate: float = 0.5
    degrees: float = 15.0
    warp: float = 0.5
    bend: float = 0.02
    light: float = 0.5
    shade: float = 0.0
    grain: float = 0.0
    erase: float = 0.0
    hold: float = 0.0
    blur: float = 0.25
    overlap: float = 0.25
    overlap_db: float = 5.0
    colour: float = 0.3
    room: float = 0.2
    band: float = 0.0
    hiss: float = 0.3
    gain_db: float = 6.0

    def __post_init__(self):
        if self.shapes not in ("each", "one"):
            raise ValueError(f'augment.shapes is "each" or "one", got {self.shapes!r}')


def augment_video(video: torch.Tensor, options: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """(B, T, H, W) grey levels 0..255 -> the same, float32; all frames of a clip get the same treatment.

    Random numbers come from a CPU ``generator`` so that every device gets the same ones. Differentiable in ``video``.
    """
    clips = len(video)

    def uniform(low, high, chance):
        """(B,) draws, and (B,) whether each clip is to be treated at all."""
        values = low + (high - low) * torch.rand(clips, generator=generator)
        return values, torch.rand(clips, generator=generator) < chance

    _, flipped = uniform(0, 1, options.flip)
    side, cropped = uniform(options.smallest_crop, options.largest_crop, options.crop)
    angle, turned = uniform(-options.degrees, options.degrees, options.rotate)
    place = torch.rand(clips, 2, generator=generator) * 2 - 1
    shift, relit = uniform(-30, 30, options.light)
    contrast, _ = uniform(0.7, 1.3, 1)
    gamma, _ = uniform(0.7, 1.4, 1)
    coarse, blurred = uniform(2, 4, options.blur)
    _, warped = uniform(0, 1, options.warp)
    bends = (
        torch.randn(clips, 2, 5, 5, generator=generator) * torch.where(warped, options.bend, 0.0)[:, None, None, None]
    )

    if options.shapes == "one":
        chosen = torch.randint(4, (clips,), generator=generator)
        flipped, cropped, turned = chosen == 1, chosen == 2, chosen == 3

    side = torch.where(cropped, side, 1.0)
    angle = torch.where(turned, torch.deg2rad(angle), 0.0)
    mirror = torch.where(flipped, -1.0, 1.0)
    # Where output pixels come from: x_in = A x_out + b in grid_sample's coordinates, [-1, 1] over the picture.
    theta = torch.zeros(clips, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = side * torch.cos(angle) * mirror, -side * torch.sin(angle)
    theta[:, 1, 0], theta[:, 1, 1] = side * torch.sin(angle) * mirror, side * torch.cos(angle)
    theta[:, :, 2] = place * (1 - side)[:, None]

    video = video.float()
    grid = F.affine_grid(_sent(theta, video.device), (clips, 1, *video.shape[2:]), align_corners=False)
    if warped.any():
        # Five by five random arrows, smoothly between them; the picture's side is 2 in the grid's coordinates.
        smooth = F.interpolate(2 * bends, video.shape[2:], mode="bicubic", align_corners=True)
        grid = grid + _sent(smooth.permute(0, 2, 3, 1), video.device)
    # The T frames of a clip stand where grid_sample expects channels: one grid serves them all.
    video = F.grid_sample(video, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    contrast = _sent(torch.where(relit, contrast, 1.0), video.device)[:, None, None, None]
    shift = _sent(torch.where(relit, shift, 0.0), video.device)[:, None, None, None]
    middle = video.mean(dim=(1, 2, 3), keepdim=True)
    video = ((video - middle) * contrast + middle + shift).clamp(0, 255)
    video = _developed(video, torch.where(relit, gamma, 1.0), torch.where(blurred, coarse, 1.0))
    return _hindered(video, options, generator)


def _developed(video, gammas, factors):
    """(B, T, H, W) pictures with another gamma each, and fewer pixels where a factor is 2 or more."""
    changed = []
    for clip, bent, factor in zip(video, gammas, factors, strict=True):
        if bent != 1:  # the slope of a power below 1 is infinite at 0
            clip = 255 * ((clip + 1) / 256) ** bent
        if factor >= 2:
            small = F.avg_pool2d(clip[None], int(factor))
            clip = F.interpolate(small, clip.shape[1:], mode="bilinear", align_corners=False)[0]
        changed.append(clip)
    return torch.stack(changed)


def _hindered(video, options, generator):
    """Pictures that come seldom, light from one side, something before the face, noise; what is off draws nothing."""
    clips, frames, height, width = video.shape
    if options.hold:
        shown = _sent(_shown(clips, frames, options, generator), video.device)
        video = video[torch.arange(clips, device=video.device)[:, None], shown]
    if options.shade:
        angle = 2 * torch.pi * torch.rand(clips, generator=generator)
        amount = 0.5 * torch.rand(clips, generator=generator) * (torch.rand(clips, generator=generator) < options.shade)
        down, across = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
        ramp = angle.sin()[:, None, None] * down[:, None] + angle.cos()[:, None, None] * across
        gain = 1 + amount[:, None, None] * ramp.clamp(-1, 1)
        video = (video * _sent(gain[:, None], video.device)).clamp(0, 255)
    if options.erase:
        size = 0.1 + 0.23 * torch.rand(clips, 2, generator=generator)
        corner = torch.rand(clips, 2, generator=generator) * (1 - size)
        level = 255 * torch.rand(clips, generator=generator)
        hidden = torch.rand(clips, generator=generator) < options.erase
        rows, columns = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
        inside = [(x >= corner[:, i, None]) & (x < (corner + size)[:, i, None]) for i, x in enumerate((rows, columns))]
        mask = inside[0][:, :, None] & inside[1][:, None, :] & hidden[:, None, None]
        level = _sent(level, video.device)[:, None, None, None]
        video = torch.where(_sent(mask[:, None], video.device), level, video)
    if options.grain:
        sigma = 10 * torch.rand(clips, generator=generator) * (torch.rand(clips, generator=generator) < options.grain)
        # A seed for each batch and not the noise itself comes from the CPU: on a GPU it is made where it is needed.
        seed = int(torch.randint(2**62, (1,), generator=generator))
        noise = torch.randn(video.shape, generator=torch.Generator(video.device).manual_seed(seed), device=video.device)
        video = (video + noise * _sent(sigma, video.device)[:, None, None, None]).clamp(0, 255)
    return video


def _shown(clips, frames, options, generator):
    """(B, T) which picture of the clip stands at each of its frames."""
    rate = (8 + 12 * torch.rand(clips, generator=generator))[:, None] / FPS
    phase = torch.rand(clips, 1, generator=generator)
    held = torch.rand(clips, generator=generator) < options.hold
    now = torch.arange(frames).expand(clips, frames)
    taken = (((now * rate + phase).floor() - phase) / rate).ceil().long()  # when the picture in view was taken
    return torch.where(held[:, None], taken, now).clamp(min=0)


def augment_audio(
    audio: torch.Tensor, other: torch.Tensor, options: Augmentation, generator: torch.Generator
) -> torch.Tensor:
    """(B, N) full-scale sound, some of it mixed with the (B, N) ``other`` sound at a random SNR, then a random gain.

    A sum that would leave full scale is scaled down as a whole: neither clipped nor wrapped round.
    """
    clips = len(audio)
    snr = (torch.rand(clips, generator=generator) * 2 - 1) * options.overlap_db
    gain = (torch.rand(clips, generator=generator) * 2 - 1) * options.gain_db
    mixed = torch.rand(clips, generator=generator) < options.overlap
    snr, gain, mixed = (_sent(x, audio.device)[:, None] for x in (snr, gain, mixed))

    level, other_level = _rms(audio), _rms(other)
    # Silence has no level to keep a ratio to: what is mixed into it stays as loud as it was.
    reference = torch.where(level > 1e-3, level * 10 ** (-snr / 20), other_level)
    audio = torch.where(mixed, audio + other * reference / other_level.clamp(min=1e-6), audio)
    audio = _other_places(audio, options, generator)
    audio = audio * 10 ** (gain / 20)
    return audio / audio.abs().amax(dim=1, keepdim=True).clamp(min=1)


def _other_places(audio, options, generator):
    """(B, N) sounds, each as another microphone hears it in another room, as loud as before.

    Clip by clip only the numbers are drawn: a GPU is asked for few large things and not for many small ones.
    """
    samples = audio.shape[1]
    places = [_place(samples, options, generator) for _ in audio]
    columns = [torch.tensor(column) for column in zip(*((p.tilt, p.cutoff, p.distance) for p in places), strict=True)]
    tilt, cutoff, distance = (_sent(column, audio.device)[:, None] for column in columns)
    level = _rms(audio)
    moved = torch.tensor([bool(p.tilt) or p.cutoff < float("inf") or p.echo is not None for p in places])
    if moved.any():
        size = 2 * samples  # room for the echo's end: nothing comes round to the beginning
        frequency = torch.arange(samples + 1, device=audio.device) * (SAMPLE_RATE / size)
        spectrum = torch.fft.rfft(audio, size)
        spectrum = spectrum / (1 + (frequency / cutoff) ** 10)  # 60 dB within an octave
        spectrum = spectrum * 10 ** (tilt / 20 * torch.log2(frequency.clamp(100, 6000) / 1000))
        direct = torch.ones(1)
        echoes = pad_sequence([direct if p.echo is None else p.echo[:size] for p in places], batch_first=True)
        heard = torch.fft.irfft(spectrum * torch.fft.rfft(_sent(echoes, audio.device), size), size)[:, :samples]
        audio = torch.where(_sent(moved, audio.device)[:, None], heard * (level / _rms(heard)), audio)
    if any(p.hiss is not None for p in places):  # silence stays silent
        none = torch.zeros(samples)
        hiss = _sent(torch.stack([none if p.hiss is None else p.hiss for p in places]), audio.device)
        audio = torch.where(level > 1e-3, audio + hiss * level * 10 ** (-distance / 20), audio)
    return audio


class _Place(NamedTuple):
    """What happens to one clip's sound.

    A spectral tilt in dB per octave, the highest frequency in Hz, an impulse response and hiss, and by how many dB
    below the sound the hiss is.
    """

    tilt: float
    cutoff: float
    distance: float
    echo: torch.Tensor | None
    hiss: torch.Tensor | None


def _place(samples, options, generator):
    chances, amounts = torch.rand(3, generator=generator), torch.rand(3, generator=generator)
    coloured, echoing, hissing = (chances < torch.tensor([options.colour, options.room, options.hiss])).tolist()
    tilt, decay, distance = (amounts * torch.tensor([12.0, 0.5, 25.0]) - torch.tensor([6.0, -0.1, -5.0])).tolist()
    cutoff, echo, hiss = float("inf"), None, None
    if options.band:
        chance, height = torch.rand(2, generator=generator).tolist()
        cutoff = 1500 * 4**height if chance < options.band else cutoff
    if echoing:
        seconds = torch.arange(int(decay * SAMPLE_RATE)) / SAMPLE_RATE
        echo = 0.03 * torch.randn(len(seconds), generator=generator) * 10 ** (-3 * seconds / decay)
        echo[0] = 1.0  # the direct sound comes first, so that sound and lips stay together
    if hissing:
        hiss = torch.randn(samples, generator=generator)
    return _Place(tilt if coloured else 0.0, cutoff, distance, echo, hiss)


def _rms(audio):
    # The root's slope at 0 is infinite: silence would turn gradients into NaN.
    return audio.square().mean(dim=1, keepdim=True).clamp(min=1e-20).sqrt()


def _sent(drawn, device):
    """What the processor drew, on its way to ``device``: a plain copy would wait for all that a GPU has yet to do."""
    return drawn.to(device, non_blocking=True)
