"""Blinding, the cache of blinded clips and the self-check clip: same bits inside, nothing outside that tells a twin."""

import hashlib
import struct

import numpy as np
import pytest

from pushpull.media.stimulus import read_stimulus, write_stimulus
from xab import selfcheck
from xab.blinding import FRONT, BlindedClips, StimulusDamaged, blind, blinded_length
from xab.store import MediaFile, TrialMedia


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """{encoding: path} of one clip in both encodings, and its arrays."""
    folder = tmp_path_factory.mktemp("blinding")
    rng = np.random.default_rng(3)
    video = rng.integers(0, 256, (10, 112, 112)).astype(np.uint8)
    audio = rng.integers(-3000, 3000, 6400).astype(np.int16)
    paths = {variant: write_stimulus(folder / f"{variant}.mp4", video, audio, variant=variant) for variant in (0, 1)}
    return paths, video, audio


def test_blinding_changes_no_bit_and_gives_every_clip_one_length(clips, tmp_path):
    paths, video, audio = clips
    length = blinded_length(max(path.stat().st_size for path in paths.values()))
    seen = set()
    for variant, path in paths.items():
        for key in (b"one", b"two"):
            data = blind(path.read_bytes(), length=length, key=key)
            assert len(data) == length
            seen.add(data)
            blinded = tmp_path / f"{variant}-{key.decode()}.mp4"
            blinded.write_bytes(data)
            frames, samples = read_stimulus(blinded)
            assert np.array_equal(frames, video) and np.array_equal(samples, audio)
        assert blind(path.read_bytes(), length=length, key=b"one") in seen
    assert len(seen) == 4


def test_no_sum_of_the_decoded_samples_is_left(clips):
    paths, _, audio = clips
    md5 = hashlib.md5(audio.tobytes()).digest()
    for path in paths.values():
        data = path.read_bytes()
        assert md5 in data, "the encoder no longer writes the sum: the blinding need not blank it"
        assert md5 not in blind(data, length=blinded_length(len(data)), key=b"k")


@pytest.mark.parametrize(
    "data,words",
    [
        (b"", "index comes before its media"),
        (b"nonsense, and long enough", "not an MP4"),
        (struct.pack(">I4s", 8, b"mdat") + struct.pack(">I4s", 8, b"moov"), "index comes before its media"),
    ],
)
def test_what_is_no_such_file_is_refused(data, words):
    with pytest.raises(ValueError, match=words):
        blind(data, length=4 * FRONT, key=b"k")
    with pytest.raises(ValueError, match="no room"):
        blind(data, length=len(data) + 20, key=b"k")


def media(paths, **changes) -> TrialMedia:
    files = {}
    for role, variant in (("X", 1), ("A", 0), ("B", 0)):
        data = paths[variant].read_bytes()
        values = {"path": paths[variant].name, "bytes": len(data), "file_sha256": hashlib.sha256(data).hexdigest()}
        files[role] = MediaFile(**{**values, **changes})
    ceiling = max(file.bytes for file in files.values())
    handles = {"X": "name-x", "A": "name-a", "B": "name-b"}
    return TrialMedia(trial=1, role="X", handles=handles, files=files, ceiling=ceiling)


def test_the_same_file_never_comes_as_the_same_bytes_twice(clips):
    paths, _, _ = clips
    cache = BlindedClips(paths[0].parent, b"secret")
    asked = media(paths)
    blinded = {role: cache.get(TrialMedia(**{**vars(asked), "role": role})) for role in "XAB"}
    assert len({len(data) for data in blinded.values()}) == 1
    assert blinded["A"] != blinded["B"]  # one file on both sides here: only the padding and its length differ
    assert blinded["A"].find(b"moov") != blinded["B"].find(b"moov")
    assert cache.get(asked) is blinded["X"]


@pytest.mark.parametrize("change", [{"file_sha256": "0" * 64}, {"path": "none.mp4"}])
def test_a_damaged_file_is_never_shown(clips, change):
    paths, _, _ = clips
    with pytest.raises(StimulusDamaged):
        BlindedClips(paths[0].parent, b"secret").get(media(paths, **change))


def test_the_cache_stays_small(clips):
    paths, _, _ = clips
    cache = BlindedClips(paths[0].parent, b"secret", most=1)
    for number in range(3):
        asked = media(paths)
        cache.get(TrialMedia(**{**vars(asked), "handles": {role: f"{number}{role}" for role in "XAB"}}))
    assert len(cache._cache) == 1


def test_the_self_check_knows_its_clip(tmp_path):
    path = selfcheck.clip_path(tmp_path)
    video, audio = read_stimulus(path)
    assert np.array_equal(video, selfcheck.frames()) and np.array_equal(audio, selfcheck.samples())
    assert set(np.unique(video)) == set(range(256))
    assert selfcheck.passed(selfcheck.expected())
    for part in ("video", "audio"):
        assert not selfcheck.passed({**selfcheck.expected(), part: None})
    assert selfcheck.clip_path(tmp_path) == path
