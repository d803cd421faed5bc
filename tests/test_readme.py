"""What README.md and CITATION.cff say of the project is what the project says of itself."""

import json
import re
import runpy

import pytest
from docs_support import ROOT

import pushpull

README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = re.findall(r"^\| `([\w-]+)` \|(.*)\|$", README, re.M)


def test_it_is_read_in_three_minutes():
    words = re.sub(r"<[^>]*>|```.*?```", " ", README, flags=re.S).split()
    assert len(words) <= 900, f"{len(words)} words: details go to docs/"


@pytest.mark.parametrize("name, cells", TABLE, ids=[name for name, _ in TABLE])
def test_detectors_reach_what_it_says(name, cells):
    card = json.loads((ROOT / "checkpoints" / f"{name}.json").read_text(encoding="utf-8"))
    grid, heads = card["heldout"]["sources"].values()
    parameters, *figures = (cell.strip() for cell in cells.split("|"))
    assert parameters == f"{card['parameters'] / 1e6:.1f} M"
    wanted = [f"{grid[kind]['ap']:.1f} / {heads[kind]['ap']:.1f}" for kind in ("in_sync", "swapped", "shifted")]
    assert figures[:3] == wanted
    assert list(card["heldout"]["clips"].values()) == [85, 172]
    # The floors that the text gives.
    floors = [[round(source[kind]["prevalence"]) for source in (grid, heads)] for kind in ("in_sync", "swapped")]
    assert floors == [[48, 80], [24, 40]]


def test_the_table_is_there():
    assert "talknet-lite" in dict(TABLE)


def test_the_citation_is_of_this_version():
    yaml = pytest.importorskip("yaml")
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert told["cff-version"] == "1.2.0" and {"message", "title", "authors"} <= set(told)
    assert told["version"] == pushpull.__version__
    assert told["references"][0]["title"] in README


def test_the_picture_of_the_architecture_is_that_of_its_script():
    made = runpy.run_path(str(ROOT / "docs" / "figures" / "architecture.py"))
    assert (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8") == made["draw"]()
    paths = {path for box in (*made["STEPS"], *made["USERS"]) for path in box.path.split() if path != "clip.mp4"}
    assert not [path for path in paths if not any((ROOT / base / path).exists() for base in ("", "pushpull"))]


def test_the_moving_picture_is_small_and_moves():
    image = pytest.importorskip("PIL.Image").open(ROOT / "docs" / "falling.webp")
    assert image.n_frames > 20 and image.width <= 900
    assert (ROOT / "docs" / "falling.webp").stat().st_size < 2e6
