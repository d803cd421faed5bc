"""Clips that stay in memory once they were read."""

from collections.abc import Sequence

from pushpull.clip import Clip

MEMORY = 6.0  # GB of clips a pool keeps: 45 minutes of one face take 1


class CachedPool(Sequence):
    """A pool that reads each clip once, as long as what it keeps stays within ``gigabytes``; the rest it reads anew.

    Reading one takes as long as training on it. Clips are values: nobody changes what everybody is given.

    Args:
        pool: clips with ``first``, ``frames`` and ``fingerprint``.
    """

    def __init__(self, pool: Sequence[Clip], gigabytes: float = MEMORY):
        self.pool = pool
        self._clips: dict[int, Clip] = {}
        self._room = gigabytes * 1e9

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, index: int) -> Clip:
        if index < 0:
            index += len(self)
        clip = self._clips.get(index)
        if clip is None:
            clip = self.pool[index]
            size = clip.video.nbytes + clip.audio.nbytes
            # Threads may read the same clip twice at first, and count it twice: it only makes room smaller.
            if self._room >= size:
                self._room -= size
                self._clips[index] = clip
        return clip

    def first(self, count: int) -> "CachedPool":
        """Its first ``count`` clips."""
        return CachedPool(self.pool.first(count))

    def __getstate__(self) -> dict:
        """For another process: it reads for itself."""
        return self.__dict__ | {"_clips": {}}

    def __getattr__(self, name):
        if name == "pool":  # while it is being unpickled
            raise AttributeError(name)
        return getattr(self.pool, name)
