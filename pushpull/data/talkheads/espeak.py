"""Speak one text with libespeak-ng and say when each sound begins. Run as a program, in a process of its own:

    python espeak.py VOICE PITCH RANGE WORDS_PER_MINUTE TEXT

The library carries state from one text to the next, so that only a fresh process gives the same samples for the same
text every time; the espeak-ng program is one, but prints no timings for its own voices. Only the standard library is
imported: the process lives for some 50 ms.

Writes to standard output one line of JSON, ``{"rate": Hz, "phones": [[first sample, IPA symbol], ...]}``, then the
16-bit samples. Exit status 3: no library; 4: no such voice.
"""

import ctypes
import json
import sys

LIBRARIES = ("libespeak-ng.so.1", "libespeak-ng.1.dylib", "libespeak-ng.dll")
# From espeak-ng's speak_lib.h.
OUTPUT_SYNCHRONOUS = 2
PHONEME_EVENTS, PHONEME_IPA = 1, 2
EVENT_END, EVENT_PHONEME = 0, 7
PARAMETER_RATE, PARAMETER_PITCH, PARAMETER_RANGE = 1, 3, 4
CHARS_UTF8, POSITION_CHARACTER = 1, 1


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


def load():
    """The library, or None."""
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def speak(library, voice: str, pitch: int, spread: int, pace: int, text: str) -> tuple[int, list, bytes] | None:
    """(rate, [[sample, symbol], ...], samples), or None where there is no such voice."""
    rate = library.espeak_Initialize(OUTPUT_SYNCHRONOUS, 0, None, PHONEME_EVENTS | PHONEME_IPA)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        return None
    for parameter, value in ((PARAMETER_PITCH, pitch), (PARAMETER_RANGE, spread), (PARAMETER_RATE, pace)):
        library.espeak_SetParameter(parameter, value, 0)
    samples, phones = [], []

    def receive(wave, count, events):
        if count > 0:
            samples.append(ctypes.string_at(wave, 2 * count))
        index = 0
        while events[index].type != EVENT_END:
            if events[index].type == EVENT_PHONEME:
                phones.append([events[index].sample, events[index].id.string.decode("utf-8", "ignore")])
            index += 1
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))(receive)
    library.espeak_SetSynthCallback(callback)
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    return rate, phones, b"".join(samples)


def main() -> int:
    voice, pitch, spread, pace, text = sys.argv[1:]
    library = load()
    if library is None:
        return 3
    spoken = speak(library, voice, int(pitch), int(spread), int(pace), text)
    if spoken is None:
        return 4
    rate, phones, samples = spoken
    sys.stdout.buffer.write(json.dumps({"rate": rate, "phones": phones}).encode() + b"\n" + samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
