"""Any video file in, bit-exact stimuli out: 25 pictures a second and 16 kHz mono sound on one clock."""

from pushpull.media.ffmpeg import Limits, MediaError
from pushpull.media.pictures import Media, grey, read_frames, read_media
from pushpull.media.probe import Probe, measure_seconds, probe
from pushpull.media.sound import Sound, read_audio, read_sound
from pushpull.media.stimulus import (
    dequantise_audio,
    quantise_audio,
    quantise_video,
    read_stimulus,
    write_preview,
    write_stimulus,
)

__all__ = [
    "Limits",
    "Media",
    "MediaError",
    "Probe",
    "Sound",
    "dequantise_audio",
    "grey",
    "measure_seconds",
    "probe",
    "quantise_audio",
    "quantise_video",
    "read_audio",
    "read_frames",
    "read_media",
    "read_sound",
    "read_stimulus",
    "write_preview",
    "write_stimulus",
]
