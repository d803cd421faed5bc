"""Any video file in, bit-exact stimuli out: 25 pictures a second and 16 kHz mono sound on one clock."""

from pushpull.media.codecs import CODECS, Codec, write_preview, write_video
from pushpull.media.ffmpeg import Limits, MediaError
from pushpull.media.pictures import read_frames
from pushpull.media.probe import Probe, measured_seconds, probe
from pushpull.media.sound import SILENCE, Sound, read_audio, read_sound
from pushpull.media.stimulus import (
    dequantise_audio,
    quantise_audio,
    quantise_video,
    read_stimulus,
    write_stimulus,
)
from pushpull.media.whole import Media, grey, read_media

__all__ = [
    "CODECS",
    "Codec",
    "Limits",
    "Media",
    "MediaError",
    "Probe",
    "SILENCE",
    "Sound",
    "dequantise_audio",
    "grey",
    "measured_seconds",
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
    "write_video",
]
