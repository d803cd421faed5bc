"""What is done to a stimulus on its way to one volunteer: same length for every role, no bytes to compare.

An MP4 may hold `free` boxes, which players skip. One of random length and content goes before the media, one fills
the file up to a length that all clips of the study share: of a trial, so that the match has no size of its own, and
of the study, so that catch trials have none, whose strong noise makes larger files. FLAC's header holds the MD5 of the
samples, alike in X and its match whatever the encoding: it is blanked. Decoded pixels and samples are untouched. X and
its match are also different encodings (see xab.stimuli), so neither size, hash, offset nor any long run of bytes tells
which of A and B equals X. A program that parses or decodes the media can compare the pictures themselves: that is the
test's question.
"""

import hashlib
import struct
import threading
from collections import OrderedDict
from pathlib import Path

from .store import TrialMedia

FRONT = 4096  # most bytes of padding before the media
UNIT = 4096  # lengths are multiples of it
CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
# Within a dfLa box, after its head, version and block head (16 bytes): STREAMINFO's sizes of the smallest and largest
# frame, and the MD5. Zero means unknown, which FLAC allows.
FLAC_BLANKED = ((16 + 4, 16 + 10), (16 + 18, 16 + 34))
CACHE_BYTES = 96 * 2**20


class StimulusDamaged(Exception):
    """A stored file is missing or not what was stored; the study cannot go on until it is restored."""


def blinded_length(ceiling: int) -> int:
    """The length of every blinded clip of a study whose largest file has ``ceiling`` bytes."""
    return -(-(ceiling + FRONT + 16) // UNIT) * UNIT + UNIT


def blind(data: bytes, *, length: int, key: bytes) -> bytes:
    """The MP4 ``data`` padded to exactly ``length`` bytes; the padding is a function of ``key``.

    Raises:
        ValueError: ``data`` is no MP4 with its index before its media, or leaves no room for padding.
    """
    spare = length - len(data) - 16
    if spare < 16:
        raise ValueError(f"{length} bytes leave no room to pad a file of {len(data)}")
    boxes = list(_boxes(data, 0, len(data)))
    names = [name for name, _, _ in boxes]
    if b"moov" not in names or b"mdat" not in names or names.index(b"mdat") < names.index(b"moov"):
        raise ValueError("not an MP4 whose index comes before its media")
    noise = hashlib.shake_256(b"xab blinding" + key).digest(spare + 4)
    front = int.from_bytes(noise[:4], "big") % (min(FRONT, spare) - 7)
    pads = [struct.pack(">I4s", 8 + len(fill), b"free") + fill for fill in (noise[4 : 4 + front], noise[4 + front :])]
    moved = len(pads[0])
    out = []
    for kind, start, end in boxes:
        if kind == b"moov":
            out.append(pads[0])
            out.append(_shifted(bytearray(data[start:end]), moved))
        else:
            out.append(data[start:end])
    return b"".join([*out, pads[1]])


def _boxes(data, start: int, end: int):
    """(kind, start, end) of each box in data[start:end]."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if size == 1:
            size = struct.unpack_from(">Q", data, start + 8)[0]
        elif size == 0:
            size = end - start
        if size < 8 or start + size > end:
            raise ValueError("not an MP4: a box is longer than what holds it")
        yield bytes(kind), start, start + size
        start += size
    if start != end:
        raise ValueError("not an MP4: bytes are left over")


def _shifted(moov: bytearray, by: int) -> bytes:
    """The index with every chunk offset moved ``by`` bytes."""

    def walk(start, end):
        for kind, first, last in _boxes(moov, start, end):
            if kind in CONTAINERS:
                walk(first + 8, last)
            elif kind == b"stsd":
                _blank_flac(moov, first, last)
            elif kind in (b"stco", b"co64"):
                form = ">I" if kind == b"stco" else ">Q"
                (count,) = struct.unpack_from(">I", moov, first + 12)
                for index in range(count):
                    at = first + 16 + index * struct.calcsize(form)
                    struct.pack_into(form, moov, at, struct.unpack_from(form, moov, at)[0] + by)

    walk(0, len(moov))
    return bytes(moov)


def _blank_flac(moov: bytearray, start: int, end: int) -> None:
    """Blank what a sample table says of the decoded sound."""
    for kind, first, last in _boxes(moov, start + 16, end):
        if kind != b"fLaC":
            continue
        for inner, box, _ in _boxes(moov, first + 36, last):  # after the fixed part of an audio sample entry
            if inner == b"dfLa":
                for low, high in FLAC_BLANKED:
                    moov[box + low : box + high] = bytes(high - low)


class BlindedClips:
    """Blinded clips by opaque name.

    All three clips of a trial are read, verified and blinded together at the first request for any of them: what is
    served afterwards comes from memory in equal lengths, so its timing tells nothing.

    Args:
        root: folder that stored paths are relative to.
        secret: makes the padding unpredictable.
    """

    def __init__(self, root: Path, secret: bytes, *, most: int = CACHE_BYTES):
        self._root = root
        self._secret = secret
        self._most = most
        self._cache: OrderedDict[str, dict[str, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, media: TrialMedia) -> bytes:
        """The clip that ``media`` asks for.

        Raises:
            StimulusDamaged: a file of the trial is missing or changed.
        """
        name = media.handles["X"]
        with self._lock:
            clips = self._cache.get(name)
            if clips is not None:
                self._cache.move_to_end(name)
        if clips is None:
            clips = {role: self._blinded(media, role) for role in ("X", "A", "B")}
            with self._lock:
                self._cache[name] = clips
                while sum(len(clip) for cached in self._cache.values() for clip in cached.values()) > self._most:
                    if len(self._cache) == 1:
                        break
                    self._cache.popitem(last=False)
        return clips[media.role]

    def _blinded(self, media: TrialMedia, role: str) -> bytes:
        file = media.files[role]
        try:
            data = (self._root / file.path).read_bytes()
        except OSError as error:
            raise StimulusDamaged(f"{file.path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != file.file_sha256:
            raise StimulusDamaged(f"{file.path} is not the file that was stored: its checksum differs")
        key = self._secret + media.handles[role].encode()
        return blind(data, length=blinded_length(media.ceiling), key=key)
