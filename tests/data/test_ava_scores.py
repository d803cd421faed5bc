"""Scores of AVA tracks: back to film time, in the official format, with the official figure."""

import shutil

import numpy as np
import pandas as pd
import pytest
from ava_support import HEADER, NAMES

from pushpull.clip import FPS
from pushpull.data.ava import __main__ as command
from pushpull.data.ava import predict, read_ava, write_predictions
from pushpull.data.ava.layout import (
    Track,
    nearest_pictures,
    picture_times,
    scores_at,
)
from pushpull.detectors import LRASD, TalkNet, TalkNetConfig, save_checkpoint, save_detector
from pushpull.metrics import average_precision


@pytest.mark.parametrize("rate", [24, 23.976, 25, 30, 29.97, 50])
def test_scores_find_their_way_back_to_film_time(rate):
    pictures = 400
    times = picture_times(np.round(900.01 + np.arange(pictures) / rate, 2), rate)
    frames = Track("a", rate, "0" * pictures).frames
    chosen = nearest_pictures(times, frames)
    apart = np.abs(chosen / rate - np.arange(frames) / FPS)
    assert apart.max() <= 0.5 / rate + 0.02, "no picture is further away than half its length, but at the end"
    if rate == 25:
        assert chosen.tolist() == list(range(pictures))
    slow = np.sin(np.arange(frames) / FPS)  # a score of film time comes back as one of film time
    assert np.allclose(scores_at(slow, times), np.sin(times), atol=0.05)
    speaking = (np.arange(pictures) // 40) % 2  # 30 -> 25 -> 30: all that can be lost is next to a change
    back = scores_at(speaking[chosen].astype(float), times) > 0.5
    wrong = np.flatnonzero(back != speaking)
    assert len(wrong) <= 10 and all((number + 1) % 40 <= 1 for number in wrong)


def test_scores_are_written_for_every_annotated_row(made, tmp_path):
    pool = read_ava(made)["test"]
    scores = {clip.name: clip.labels * 2.0 - 1 for clip in pool}
    for header in (False, True):
        written = write_predictions(made, "val", scores, tmp_path / "res.csv", header=header)
        rows = pd.read_csv(tmp_path / "res.csv", header=0 if header else None)
        assert rows.shape == (36 + 1 + 41, 9) and np.allclose(rows.iloc[:, 8], written[0])
    assert rows.columns.tolist() == [*HEADER.split(","), "score"]
    assert rows["label"].unique().tolist() == ["SPEAKING_AUDIBLE"]
    original = pd.read_csv(made / "csv/val_orig.csv")
    assert rows.iloc[:, :6].equals(original.iloc[:, :6]) and rows["entity_id"].equals(original["entity_id"])
    assert written[1].tolist() == (original["label"] == "SPEAKING_AUDIBLE").astype(int).tolist()
    assert average_precision(*written) > 0.95, "perfect but for frames next to a change"
    opposite = {entity: -values for entity, values in scores.items()}
    assert average_precision(*write_predictions(made, "val", opposite, tmp_path / "res.csv")) < 0.4


def official_average_precision(annotation, predictions):
    """The steps of the official tool: join by moment and track, check boxes, sort by score, area under the envelope."""
    names = HEADER.split(",")
    truth = pd.concat([pd.read_csv(path, names=names, header=0) for path in annotation.glob("*.csv")])
    found = pd.read_csv(predictions, names=[*names, "score"])
    uid = [rows["frame_timestamp"].map(str) + ":" + rows["entity_id"] for rows in (truth, found)]
    both = truth.assign(uid=uid[0]).merge(found.assign(uid=uid[1]), on="uid", validate="1:1")
    assert len(both) == len(truth) == len(found)
    for name in names[2:6]:
        assert np.allclose(both[f"{name}_x"], both[f"{name}_y"], rtol=0, atol=1e-9)
    hits = (both.sort_values("score", ascending=False)["label_x"] == "SPEAKING_AUDIBLE").to_numpy()
    precision = np.maximum.accumulate((hits.cumsum() / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return precision[hits].mean()


def test_the_official_tool_computes_the_same_from_the_file(source, made, tmp_path):
    rng = np.random.default_rng(0)
    pool = read_ava(made)["test"]
    scores = {track.entity: rng.standard_normal(track.frames) for track in pool.tracks}
    mine = average_precision(*write_predictions(made, "val", scores, tmp_path / "res.csv"))
    assert mine == pytest.approx(official_average_precision(source / "val", tmp_path / "res.csv"), abs=1e-12)


def test_scores_that_do_not_fit_are_refused(made, tmp_path):
    pool, out = read_ava(made)["test"], tmp_path / "res.csv"
    scores = {track.entity: np.zeros(track.frames) for track in pool.tracks}
    with pytest.raises(ValueError, match="1 tracks have no scores, the first filmat30"):
        write_predictions(made, "val", {k: v for k, v in scores.items() if not k.endswith("2:1") or "24" in k}, out)
    with pytest.raises(ValueError, match=r"needs \(30,\) finite scores, got \(36,\)"):
        write_predictions(made, "val", scores | {NAMES[2]: np.zeros(36)}, out)
    with pytest.raises(ValueError, match="finite"):
        write_predictions(made, "val", scores | {NAMES[2]: np.full(30, np.nan)}, out)
    with pytest.raises(ValueError, match="read_ava's 'test' is val"):
        write_predictions(made, "test", scores, out)
    assert not out.exists()


def test_a_network_scores_whole_tracks(made):
    pool = read_ava(made)["test"]
    scores = predict(TalkNet(TalkNetConfig.named("talknet", "lite")).eval(), pool)
    assert {name: values.shape for name, values in scores.items()} == {
        track.entity: (track.frames,) for track in pool.tracks
    }


@pytest.mark.parametrize("network", [lambda: TalkNet(TalkNetConfig.named("talknet", "lite")), LRASD])
def test_the_score_command_prints_the_figure_of_any_detector(made, tmp_path, capsys, network):
    checkpoint = (
        save_detector(tmp_path / "mine", network())
        if network is LRASD
        else save_checkpoint(tmp_path / "mine", network())
    )
    arguments = [str(made), str(checkpoint), "--device", "cpu", "--out", str(tmp_path / "res.csv")]
    assert command.main(["score", *arguments]) == 0
    said = capsys.readouterr().out
    assert "78 rows, 33.33 % speaking" in said and "AVA mAP" in said and (tmp_path / "res.csv").exists()
    with pytest.raises(SystemExit):
        command.main(["score", *arguments])
    assert "res.csv already there" in capsys.readouterr().err
    assert command.main(["score", *arguments, "--overwrite"]) == 0


def test_a_figure_of_some_of_the_tracks_is_refused(tree, tmp_path, capsys):
    shutil.rmtree(tree / "clips_audios/val/filmat24fps")
    with pytest.raises(SystemExit):
        command.main(["score", str(tree), "lite", "--out", str(tmp_path / "res.csv")])
    assert "of all tracks, but 1 lack media" in capsys.readouterr().err
