"""What survives: the numbers of a detector whose every answer is known beforehand."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pushpull.attacks import BIM
from pushpull.clip import SAMPLES_PER_FRAME, Clip
from pushpull.detectors import Outputs
from pushpull.evaluation.survival import FLOAT, Setting, measure, survival, tabulate
from pushpull.media.channels import Channel, get_channels
from pushpull.plots import survival_figure

FRAMES = 5
QUICK = get_channels(["stored", "resize-84", "sound-late"])


class Brightness(nn.Module):
    """A frame speaks if it is brighter than 100 on average: sums up 12544 pixels, so that every one of them counts."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(10.0))

    def forward(self, inputs):
        margin = self.slope * (inputs["video"].mean((2, 3)) - 100) + 0 * inputs["audio"].mean()
        return Outputs(torch.stack([-margin / 2, margin / 2], -1))


class Loudness(Brightness):
    """A frame speaks if its sound is positive on average."""

    def forward(self, inputs):
        sound = inputs["audio"].unflatten(1, (-1, SAMPLES_PER_FRAME)).mean(2)
        margin = 1e4 * self.slope * sound + 0 * inputs["video"].mean()
        return Outputs(torch.stack([-margin / 2, margin / 2], -1))


def grey_clip(level: float, name: str = "grey", frames: int = FRAMES, speaking: int = 1) -> Clip:
    video = np.full((frames, 112, 112), level, np.float32)
    labels = np.full(frames, speaking, np.int64)
    return Clip(audio=np.zeros(frames * SAMPLES_PER_FRAME, np.float32), video=video, labels=labels, name=name)


def by_channel(rows):
    return {(row["eps_av"], row["channel"]): row for row in rows}


def test_half_a_grey_level_does_not_survive_storage_and_a_whole_one_does():
    """A frame at 100.3: 0.4 grey levels make it wrong, but a file rounds them away; 1 grey level stays."""
    attack = BIM(steps=3)
    rows = survival(
        Brightness(), [replace(grey_clip(100.3), name="a")], attack, (0.0, 4.0, 20.0), QUICK, modality="video"
    )
    found = by_channel(rows)
    assert list(found)[:4] == [(0.0, FLOAT), (0.0, "stored"), (0.0, "resize-84"), (0.0, "sound-late")]
    right = {key: (row["clean"]["value"], row["attacked"]["value"]) for key, row in found.items()}
    assert right[0.0, FLOAT] == (1, 1)
    assert right[4.0, FLOAT] == (1, 0) and right[20.0, FLOAT] == (1, 0)
    assert right[4.0, "resize-84"] == (1, 0)
    # Rounding alone takes 100.3 to 100, which does not speak: that is the channel's harm, and the attack has none.
    assert right[4.0, "stored"] == (0, 0)
    assert found[4.0, "stored"]["harm"]["value"] == 0 == found[4.0, "stored"]["survives"]["value"]
    assert found[4.0, "stored"]["left_video"]["value"] == 0
    assert found[20.0, "stored"]["left_video"]["value"] == pytest.approx(1, abs=0.01)
    assert found[4.0, "resize-84"]["left_video"]["value"] == pytest.approx(1, abs=0.01)  # it is the same everywhere
    assert found[4.0, "stored"]["left_audio"]["value"] is None


def test_sound_that_is_late_is_compared_in_step():
    clip = replace(grey_clip(100), audio=np.full(FRAMES * SAMPLES_PER_FRAME, 1e-4, np.float32))
    rows = survival(Loudness(), [clip], BIM(steps=2), [5.0], QUICK, modality="audio")
    found = by_channel(rows)
    assert found[5.0, FLOAT]["attacked"]["value"] == 0
    late = found[5.0, "sound-late"]
    # Its first frame is silent, hence wrong without any attack; the other four come late but just as wrong.
    assert late["clean"]["value"] == pytest.approx(0.8) and late["attacked"]["value"] == 0
    assert late["harm"]["value"] == pytest.approx(0.8)
    assert late["left_audio"]["value"] == pytest.approx(0.8)


def test_clips_get_the_same_alone_and_together():
    clips = [grey_clip(level, f"{level}", frames) for level, frames in ((100.2, 5), (101.0, 5), (100.5, 4))]
    setting = Setting(attack=BIM(steps=2), eps_avs=(5.0,), channels=tuple(QUICK), modality="video")
    together = list(measure(Brightness(), clips, setting))
    alone = [next(measure(Brightness(), [clip], setting)) for clip in clips]
    assert together == alone
    assert [example["base"] for example in together] == ["100.2", "101.0", "100.5"]
    assert json.loads(json.dumps(tabulate(together, QUICK))) == tabulate(together, QUICK)


def test_intervals_are_over_base_clips():
    def example(base, attacked):
        return {
            "clip": "c",
            "base": base,
            "frames": 10,
            "clean": {FLOAT: 10, "stored": 9},
            "attacked": [
                {
                    "eps_av": 5.0,
                    "right": {FLOAT: 0, "stored": attacked},
                    "left": {"stored": {"audio": 0.5, "video": None}},
                }
            ],
        }

    one = [example("same", right) for right in (1, 5, 9)]
    row = tabulate(one)[1]
    assert row["bases"] == 1 and row["clips"] == 3
    assert row["attacked"] == {"value": 0.5, "low": None, "high": None, "clusters": 1}
    assert row["survives"]["value"] == pytest.approx(12 / 30)
    many = [example(str(number), number % 10) for number in range(40)]
    row = tabulate(many)[1]
    assert row["attacked"]["value"] == pytest.approx(0.45)
    assert 0.3 < row["attacked"]["low"] < 0.45 < row["attacked"]["high"] < 0.6
    assert [row["left_audio"][end] for end in ("value", "low", "high")] == [0.5] * 3
    assert [row["left_video"][end] for end in ("value", "low", "high")] == [None] * 3
    # Twice the examples of the same footage are no more evidence.
    assert tabulate(many + many)[1]["attacked"] == pytest.approx(row["attacked"])


def test_stopping_keeps_what_is_complete():
    done = []

    def progress(share, text):
        done.append(text)

    clips = [grey_clip(100.5, "a", 5), grey_clip(100.5, "b", 4)]
    rows = survival(
        Brightness(),
        clips,
        BIM(steps=2),
        [5.0],
        QUICK,
        progress=progress,
        cancel=lambda: any(text.startswith("clips 2") for text in done),
    )
    assert {row["clips"] for row in rows} == {1}
    assert done == ["clips 1 to 1, clean", "clips 1 to 1, eps_av 5", "clips 2 to 2, clean", "clips 2 to 2, eps_av 5"]
    assert survival(Brightness(), clips, BIM(steps=2), [5.0], QUICK, cancel=lambda: True) == []


def test_clips_without_labels_are_refused():
    with pytest.raises(ValueError, match="grey has no labels"):
        survival(Brightness(), [replace(grey_clip(100), labels=None)], BIM(), [5.0], QUICK)
    with pytest.raises(ValueError, match="bases must be one for each of the 1 clips, got 2"):
        survival(Brightness(), [grey_clip(100)], BIM(), [5.0], QUICK, bases=["a", "b"])


def test_a_channel_of_ones_own():
    dark = Channel("dark", "half the light", "geometry", lambda clip: replace(clip, video=clip.video / 2))
    rows = survival(Brightness(), [grey_clip(100.5)], BIM(steps=1), [5.0], [dark])
    assert by_channel(rows)[5.0, "dark"]["clean"]["value"] == 0
    assert rows[1]["title"] == "half the light"


def test_the_figure_has_a_panel_for_each_group_and_a_line_for_each_channel():
    clips = [grey_clip(100.2 + 0.2 * number, str(number)) for number in range(3)]
    rows = survival(Brightness(), clips, BIM(steps=1), (1.0, 5.0), QUICK, modality="video")
    figure = survival_figure(rows, title="what survives")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["Storage", "Resizing", "Sound against picture"]
    for axes, title in zip(shown, (row["title"] for row in rows[1:4]), strict=True):
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["no channel", title]
    with pytest.raises(ValueError, match="no rows"):
        survival_figure([])
