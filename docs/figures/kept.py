"""Pictures of pages as files in docs/, small enough for git."""

import subprocess
from pathlib import Path

DOCS = Path(__file__).parents[1]


def keep(picture: bytes, name: str) -> None:
    """A PNG as docs/NAME.png, of few colours: a fifth of the size. Needs ImageMagick."""
    subprocess.run(["convert", "-", "-colors", "220", f"PNG8:{DOCS / name}.png"], input=picture, check=True)
    print(DOCS / f"{name}.png")
