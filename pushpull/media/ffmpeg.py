"""Run ffmpeg: bounded in time, unable to open anything but the one file it is given, never left behind."""

import contextlib
import math
import os
import re
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import imageio_ffmpeg

STDERR_KEPT = 400  # characters of ffmpeg's own words in a message

# The containers people have. A list of what is allowed, because ffmpeg also knows formats that open other files and
# addresses (hls, dash, concat, image2, sdp, lavfi) or turn any text into a picture (tty).
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,mxf,dv,nut,rm,wtv,gif,ivf,"
    "yuv4mpegpipe,h264,hevc,obu,m4v,wav,w64,mp3,aac,flac,ac3,aiff,caf,au,amr"
)

# Where among a run's arguments the addresses of its clock and of a second output go, see FFmpeg.
CLOCK, SECOND = "pipe:the clock", "pipe:the second"
# With the level of each line, so that a warning is not taken for an error.
READING = "level+warning"
# What ffmpeg says, with exit status 0, about a file that stops before its container says it does.
TRUNCATED = re.compile(r"partial file|ended prematurely|truncat", re.IGNORECASE)


class MediaError(ValueError):
    """A file cannot be used; the message says what is wrong and what to do about it.

    Args:
        plain: that, for anybody.
        said: what ffmpeg said, of which the end follows in the message, for whoever knows ffmpeg.
    """

    def __init__(self, plain: str, said: str | None = None):
        super().__init__(plain if said is None else f"{plain} ffmpeg says: {trim(said)}")
        self.plain = plain


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of a visitor's file is too much.

    Args:
        max_seconds: longest video, in seconds.
        max_pixels: largest picture in the file, width x height; large ones are shrunk as they are read.
        max_bytes: largest file, in bytes.
        timeout: seconds that one pass over the file may keep us waiting for ffmpeg, all waits together.
    """

    max_seconds: float = 600.0
    max_pixels: int = 8192 * 4320
    max_bytes: int = 2 * 1024**3
    timeout: float = 600.0

    def any_length(self) -> "Limits":
        """The same for a file of which only a part is read."""
        return replace(self, max_seconds=math.inf)


def source(path: str | os.PathLike, limits: Limits) -> list[str]:
    """ffmpeg's arguments that open ``path``, and nothing else, as its input.

    Raises:
        MediaError: ``path`` is missing, a folder, not a regular file, empty or over ``limits.max_bytes``.
    """
    path = Path(path)
    if not path.exists():
        raise MediaError(f"{path.name}: there is no such file. Check the path.")
    if path.is_dir():
        raise MediaError(f"{path.name} is a folder. Give one video file inside it.")
    if not path.is_file():
        raise MediaError(f"{path.name} is not a regular file. Save the video to disk first.")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path.name} cannot be opened: permission denied. Change its permissions.")
    size = path.stat().st_size
    if size == 0:
        raise MediaError(f"{path.name} is empty (0 bytes). Record, export or upload it again.")
    if size > limits.max_bytes:
        raise MediaError(
            f"{path.name} has {size / 1024**2:.0f} MB, the limit is {limits.max_bytes / 1024**2:.0f} MB. "
            "Cut it or compress it."
        )
    # `file:` and an absolute path keep a name such as "concat:a|b" or "-y" a name.
    return ["-protocol_whitelist", "file,pipe", "-format_whitelist", CONTAINERS, "-i", f"file:{path.absolute()}"]


class FFmpeg:
    """One run of ffmpeg whose output is read as it comes.

    A context manager: leaving it, for whatever reason, ends the process and everything it started.

    Args:
        arguments: what follows the program's name. ``CLOCK`` and ``SECOND`` in it become addresses of files of this
            run's own; :meth:`ticks` and :meth:`second` tell what ffmpeg wrote there.
        name: the file it is about, for messages.
        timeout: seconds to wait for it, all waits together (a slow reader of the output is not counted).
        feed: chunks written to its standard input while it runs.
        loglevel: how much it says on stderr.
    """

    def __init__(self, arguments, *, name: str, timeout: float, feed: Iterable[bytes] | None = None, loglevel="error"):
        self.name, self._timeout, self._left = name, timeout, timeout
        # A file, because a full pipe would block ffmpeg; it lives as long as the process.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        # Files for the same reason: pictures and the times they are shown at come out side by side.
        self._files = {name: tempfile.TemporaryFile() for name in (CLOCK, SECOND)}  # noqa: SIM115
        self._ticked = 0
        self._feed_error: BaseException | None = None
        own = {name: f"pipe:{file.fileno()}" for name, file in self._files.items()}
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y", "-loglevel", loglevel]
        command += [own.get(argument, argument) for argument in arguments]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
                start_new_session=True,  # its own group, so that all of it can be ended
                pass_fds=[file.fileno() for file in self._files.values()],
            )
        except OSError as error:
            self._close_files()
            raise MediaError(f"ffmpeg cannot be started: {error}. Reinstall the package imageio-ffmpeg.") from error
        self._feeder = None
        if feed is not None:
            self._feeder = threading.Thread(target=self._write, args=(feed,), daemon=True)
            self._feeder.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _write(self, feed):
        try:
            with self._process.stdin as pipe:
                for chunk in feed:
                    view = memoryview(chunk).cast("B")
                    while view:  # an unbuffered pipe takes what it can hold
                        view = view[pipe.write(view) :]
        except BrokenPipeError:
            pass  # it ended first; finish says why
        except BaseException as error:  # raised again by finish, in the caller's thread
            self._feed_error = error

    def read(self, count: int) -> bytearray:
        """``count`` bytes of output, fewer at its end.

        Raises:
            MediaError: ffmpeg kept us waiting for longer than the timeout.
        """
        buffer = bytearray(count)
        view, filled, pipe = memoryview(buffer), 0, self._process.stdout
        waiter = select.poll()  # select() cannot watch a descriptor beyond 1023, and a server has many
        waiter.register(pipe, select.POLLIN)
        while filled < count:
            began = time.monotonic()
            ready = waiter.poll(1000 * max(self._left, 0))
            self._left -= time.monotonic() - began
            if not ready:
                self._raise_timeout()
            got = pipe.readinto(view[filled:])
            if not got:
                break
            filled += got
        del view
        del buffer[filled:]
        return buffer

    def read_all(self, limit: int) -> bytearray:
        """All of the output, or its first ``limit`` + 1 bytes if it is longer than ``limit``."""
        output = bytearray()
        while len(output) <= limit and (chunk := self.read(min(1 << 20, limit + 1 - len(output)))):
            output += chunk
        return output

    def ticks(self) -> list[tuple[str, ...]]:
        """The words of each line that ffmpeg has written to its clock since the last call."""
        data = self._written(CLOCK, self._ticked)
        lines = data[: data.rfind(b"\n") + 1]
        self._ticked += len(lines)
        return [tuple(line.split()) for line in lines.decode().splitlines()]

    def second(self) -> bytes:
        """All that ffmpeg has written to its second output."""
        return self._written(SECOND, 0)

    def _written(self, name, start) -> bytes:
        data = bytearray()
        while chunk := os.pread(self._files[name].fileno(), 1 << 20, start + len(data)):
            data += chunk
        return bytes(data)

    def wait(self) -> tuple[int, str]:
        """Wait for the end; the exit status and what ffmpeg said, whatever they are.

        Raises:
            MediaError: it did not end in time.
        """
        try:
            status = self._process.wait(timeout=max(self._left, 1))
        except subprocess.TimeoutExpired:
            self._raise_timeout()
        if self._feeder is not None:
            self._feeder.join()
        if self._feed_error is not None:
            raise self._feed_error
        return status, self._said()

    def finish(self) -> str:
        """Wait for the end; ffmpeg's warnings, a line each, none if the run does not say them.

        Raises:
            MediaError: it failed (the message ends in its own words), stopped early, or did not end in time.
        """
        status, said = self.wait()
        if status != 0:
            raise MediaError(f"{self.name} could not be read or written. {advice(said)}", said)
        warnings = [line for line in said.splitlines() if "[warning]" in line]
        said = "\n".join(line for line in said.splitlines() if "[warning]" not in line)
        if TRUNCATED.search(said):
            raise MediaError(
                f"{self.name} is truncated or damaged: it stops before its end. Copy, record or export it again.",
                said,
            )
        return "\n".join(warnings)

    def stop(self):
        """End the process and everything it started; safe to call twice."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process.stdout.close()
        if self._feeder is not None:
            self._feeder.join()
        self._close_files()

    def _close_files(self):
        for file in (self._stderr, *self._files.values()):
            file.close()

    def _raise_timeout(self):
        said = self._said()
        self.stop()
        raise MediaError(
            f"{self.name}: gave up after waiting {self._timeout:g} s for ffmpeg. The file may be damaged or too large "
            "for this machine: cut it, re-encode it or raise the time limit.",
            said,
        )

    def _said(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - (1 << 20)))
        return self._stderr.read().decode(errors="replace")


def advice(said: str) -> str:
    """What to do about an error, in one sentence, from what ffmpeg said about it."""
    if "max pixel count" in said or "Picture size" in said:
        return "Its pictures are larger than the limit: make them smaller."
    if "No space left" in said:
        return "The disk is full: free some space."
    return "The file may be damaged: export it again, as MP4, WebM, MKV, AVI or MPEG."


def trim(said: str) -> str:
    """The last of ffmpeg's words, without addresses in memory and without the folders of this machine."""
    lines = [re.sub(r"^(\[[^\]]*\] ?)+", "", line).strip() for line in said.splitlines()]
    lines = list(dict.fromkeys(line for line in lines if line and not line.startswith("Error opening input file")))
    text = re.sub(r"(?:file:)?(?:/[^/\s:']+)+/", "", " | ".join(lines[-3:]))
    return text[-STDERR_KEPT:] or "nothing."
