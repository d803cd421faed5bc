"""Published detectors: where their files are, what they are, and under which licence."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pushpull.detectors.base import Card
from pushpull.detectors.points import CARD_KEY

COMMAND = "python -m pushpull.detectors"  # lists and fetches them
RAW = "https://raw.githubusercontent.com"
MEASURED = Path(__file__).with_name("published_points.json")
AVA = "AVA-ActiveSpeaker"
TALKSET = "AVA-ActiveSpeaker, then TalkSet (LRS3 and VoxCeleb2)"


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file that its authors offer.

    Args:
        name: ours.
        architecture: see pushpull.detectors.list_architectures.
        repository: its page.
        url: of the file itself; HEAD is the repository's default branch.
        sha256: of the file; anything else is refused.
        size: in bytes.
        licence: of code and weights.
        trained_on: by its authors.
        crop: see pushpull.detectors.base.CROPS.
    """

    name: str
    architecture: str
    repository: str
    url: str
    sha256: str
    size: int
    licence: str
    trained_on: str
    crop: str

    def card(self) -> dict:
        """The facts, as a detector carries them."""
        card = Card(
            name=self.name,
            architecture=self.architecture,
            trained_on=self.trained_on,
            crop=self.crop,
            threshold=0.0,  # the class with the larger logit
            licence=self.licence,
            source=self.url,
            source_sha256=self.sha256,
        ).to_dict()
        return published_points(card)


def _liao(name: str, repository: str, year: int, file: str, sha256: str, size: int, trained_on: str) -> Published:
    """A file of J. Liao's repositories. The authors' own demo gives TalkSet's weights the crops of TalkNet's demo."""
    return Published(
        name=name,
        architecture=name.rpartition("-")[0],
        repository=f"https://github.com/Junhua-Liao/{repository}",
        url=f"{RAW}/Junhua-Liao/{repository}/HEAD/weight/{file}",
        sha256=sha256,
        size=size,
        licence=f"MIT, Copyright (c) {year} Liao Junhua",
        trained_on=trained_on,
        crop="face_box" if trained_on == AVA else "talknet_demo",
    )


PUBLISHED = {
    published.name: published
    for published in (
        _liao(
            "light-asd-ava",
            "Light-ASD",
            2023,
            "pretrain_AVA_CVPR.model",
            "d44bc3ea7baa8e0946fa3921311714a630ed8b90a1928fab0dbe30d918909317",
            4_175_289,
            AVA,
        ),
        _liao(
            "light-asd-talkset",
            "Light-ASD",
            2023,
            "finetuning_TalkSet.model",
            "efc375833887eefa9d209dc92810e18519b04c3c73ea35a549f2a7f40b7d94d5",
            4_175_289,
            TALKSET,
        ),
        _liao(
            "lr-asd-ava",
            "LR-ASD",
            2025,
            "pretrain_AVA.model",
            "85e6c77fc981595234790d1e128ebb60352d37726b2445e0ef8891e2512fe9e3",
            3_426_337,
            AVA,
        ),
        _liao(
            "lr-asd-talkset",
            "LR-ASD",
            2025,
            "finetuning_TalkSet.model",
            "6b4ef53694e874e96cf630198dc479c78aebb3993bbf166aee3d926dfe7d9342",
            3_426_337,
            TALKSET,
        ),
    )
}


def published_points(card: dict) -> dict:
    """The card with the operating points that were measured here of the published file that it tells of, if any."""
    points = measured().get(str(card.get("source_sha256")))
    return {CARD_KEY: points} | card if points else card


@cache
def measured() -> dict[str, dict]:
    """{SHA-256 of a published file: its operating points}, from ``published_points.json``."""
    return json.loads(MEASURED.read_text(encoding="utf-8"))


def published_by(sha256: str) -> Published | None:
    """The published file with this content, whatever it is called here."""
    return next((published for published in PUBLISHED.values() if published.sha256 == sha256), None)
