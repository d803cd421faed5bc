"""Fetch public clips of people whom no model here was trained on, and cut them so that one face is in view.

    python benchmarks/strangers.py --out strangers
    python -m pushpull.train --data strangers --evaluate checkpoints/talknet-lite.safetensors --unseen

docs/strangers.csv lists them: examples and test files of public repositories, each at a fixed commit. They belong to
whoever made them; most may be used for research only. They are to measure on, never to train on or to pass on. What is
there is not fetched again.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

import imageio_ffmpeg

ROOT = Path(__file__).parents[1]


def cut(source: Path, target: Path, start: str, seconds: str, crop: str) -> None:
    """``seconds`` of a video from ``start`` on as H.264 and FLAC, all of the picture or ``crop`` (w:h:x:y) of it."""
    filters = [f"crop={crop}"] if crop else []
    filters.append("scale=-2:'min(720,ih)'")
    part = target.with_suffix(".part.mkv")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-ss", start, "-i", str(source), "-t", seconds]
    command += ["-map", "0:v:0", "-map", "0:a:0", "-vf", ",".join(filters)]
    command += ["-c:v", "libx264", "-crf", "14", "-pix_fmt", "yuv420p", "-c:a", "flac", str(part)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    part.replace(target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", type=Path, default=ROOT / "docs/strangers.csv", help="what to fetch (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("strangers"), help="folder of the cut clips (%(default)s)")
    parser.add_argument(
        "--base",
        default="https://raw.githubusercontent.com",
        help="where REPOSITORY/COMMIT/PATH is (%(default)s)",
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    missing = 0
    with given.list.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        target = given.out / f"{row['name']}.mkv"
        if target.exists():
            continue
        address = "/".join([given.base, row["repository"], row["commit"], urllib.parse.quote(row["path"])])
        try:
            with tempfile.NamedTemporaryFile(suffix=Path(row["path"]).suffix) as fetched:
                with urllib.request.urlopen(address, timeout=60) as answer:
                    fetched.write(answer.read())
                fetched.flush()
                cut(Path(fetched.name), target, row["start"], row["seconds"], row["crop"])
        except (OSError, subprocess.CalledProcessError) as error:  # HTTP errors are OSErrors
            print(f"{row['name']}: {address}: {error}", file=sys.stderr)
            missing += 1
    print(f"{len(rows) - missing} of {len(rows)} clips in {given.out}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
