"""Everything a study knows, as files for other programs, with a codebook that explains every column.

No file holds a link or a token: whoever gets the export cannot answer in a volunteer's name.
"""

import csv
import io
import json
import zipfile
from dataclasses import asdict

from .plan import budget_units, model_label
from .report import make_report
from .store import Store

SECONDS = "seconds since 1970-01-01 UTC"
# {file: {column: (type or unit, meaning)}}
TABLES = {
    "judgments.csv": {
        "volunteer": ("number", "the volunteer within the study; numbers of people who withdrew are not given again"),
        "slot": (
            "number",
            "which plan the volunteer has: slots 4k to 4k+3 see each main pair in all four arrangements",
        ),
        "position": ("number", "place of the trial in the volunteer's plan, from 0, training included"),
        "phase": ("training, main, catch", "only main trials count in the accuracy"),
        "pair": ("number", "the pair shown, as in stimuli.csv"),
        "clip": ("text", "file, face and start of the footage"),
        "speech": ("true, false", "whether the face speaks in this clip"),
        "model": ("text", "the detector that was attacked"),
        "attack": ("text", "bim, mim, pgd, fgsm or noise"),
        "modality": ("both, audio, video", "what the attack was allowed to change"),
        "eps_av": ("paper's joint budget", "1e-4 eps_av of full scale in the sound, 0.1 eps_av grey levels"),
        "x": ("genuine, adversarial", "which twin X was"),
        "match": ("A, B", "the side that equalled X: the right answer"),
        "choice": ("A, B", "the answer"),
        "correct": ("true, false", "choice equals match"),
        "response_ms": ("milliseconds", "from the first moment an answer was possible to the answer, by the browser"),
        "opened_at": (SECONDS, "when the server first showed the trial"),
        "answered_at": (SECONDS, "when the answer was stored"),
        "plays_x": ("count", "times X was played to its end; erased with the study's retention"),
        "plays_a": ("count", "times A was played to its end; erased with the study's retention"),
        "plays_b": ("count", "times B was played to its end; erased with the study's retention"),
        "viewport_width": ("CSS pixels", "of the window at the answer"),
        "viewport_height": ("CSS pixels", "of the window at the answer"),
        "pixel_ratio": ("device pixels per CSS pixel", "of the screen at the answer"),
        "clip_width": ("CSS pixels", "how wide a clip was shown"),
        "finished": ("true, false", "whether the volunteer answered every trial"),
        "hears": ("true, false", "false for a volunteer who said that they cannot hear the sound"),
    },
    "volunteers.csv": {
        "volunteer": ("number", "as in judgments.csv"),
        "kind": ("link, open", "a personal link, or one issued by the open link"),
        "slot": ("number", "as in judgments.csv; empty before the consent"),
        "step": ("text", "consent, instructions, check, sound, trials or done"),
        "consent_version": ("number", "which text in study.json was agreed to"),
        "consent_at": (SECONDS, "when"),
        "check_passed": (
            "1, 0",
            "whether any self-check found pixels and samples unchanged; empty without one, and once they are erased",
        ),
        "hears": ("true, false", "whether they heard the test sound; false if they said they cannot; empty before"),
        "listens": ("headphones, loudspeakers", "what they listen with, by their own word; empty if they did not say"),
        "answered": ("count", "trials answered, training included"),
        "planned": ("count", "trials planned"),
        "created_at": (SECONDS, "when the link was made"),
        "seen_at": (SECONDS, "last stored step or answer"),
        "finished_at": (SECONDS, "when the last trial was answered"),
        "user_agent": ("text", "the browser's name for itself; erased with the study's retention"),
    },
    "events.csv": {
        "volunteer": ("number", "as in judgments.csv"),
        "page": ("text", "one load of the page: a reload starts another"),
        "seq": ("number", "order within the page"),
        "position": ("number", "the trial, as in judgments.csv; empty outside trials"),
        "kind": ("text", "play, pause, ended, seeked, hidden and so on"),
        "role": ("X, A, B", "the clip concerned"),
        "clip_time": ("seconds", "position within the clip"),
        "page_ms": ("milliseconds", "since the page was loaded, by the browser"),
        "at": (SECONDS, "when the server stored it"),
    },
    "checks.csv": {
        "volunteer": ("number", "as in judgments.csv"),
        "at": (SECONDS, "when"),
        "passed": ("true, false", "whether the browser's checksums are those of the stored bits"),
        "report": ("JSON", "checksums, differences, screen"),
    },
    "stimuli.csv": {
        "pair": ("number", "as in judgments.csv"),
        "phase": ("training, main, catch", "as in judgments.csv"),
        "clip": ("text", "file, face and start of the footage"),
        "frames": ("count", "video frames at 25 per second; 640 samples at 16 kHz for each"),
        "speech": ("true, false", "whether the face speaks"),
        "labels": ("text", "where that is known from: shipped with the clip, or the model's own opinion"),
        "model": ("text", "the detector attacked and scored, by its name or its file's"),
        "model_sha256": ("hex", "of its weights; empty for a detector that came from no file"),
        "model_architecture": ("text", "as pushpull calls it; empty for a detector of one's own"),
        "model_trained_on": ("text", "the data that its weights come from, if its card says"),
        "model_crop": ("talknet_demo, face_box", "how the face was cut, as this detector wants it"),
        "model_threshold": ("log-odds", "of the network itself, above which it calls a frame speech"),
        "model_point": (
            "speaking, strict_sync, own",
            "the operating point that this is, see pushpull's docs/evaluation.md; scores are relative to it, and to "
            "log-odds 0 in pairs from before there were points, where this is empty",
        ),
        "attack": ("text", "as in judgments.csv"),
        "objective": (
            "training_aware, inference_aware",
            "what was maximised: the loss of all heads, where there are some",
        ),
        "modality": ("both, audio, video", "as in judgments.csv"),
        "eps_av": ("paper's joint budget", "as in judgments.csv"),
        "nominal_eps_audio_full_scale": ("full scale", "largest change of a sample that was allowed"),
        "nominal_eps_audio_steps": ("16-bit steps", "the same"),
        "nominal_eps_video_levels": ("grey levels of 0 to 255", "largest change of a pixel that was allowed"),
        "stored_audio_max_steps": ("16-bit steps", "largest change in the stored file"),
        "stored_audio_mean_steps": ("16-bit steps", "mean absolute change in the stored file"),
        "stored_audio_changed_share": ("share", "of the samples that differ at all"),
        "stored_video_max_levels": ("grey levels", "largest change in the stored file"),
        "stored_video_mean_levels": ("grey levels", "mean absolute change in the stored file"),
        "stored_video_changed_share": ("share", "of the pixels that differ at all"),
        "audio_snr_db": ("dB", "power of the sound over power of its change; empty where nothing changed"),
        "identical": ("true, false", "whether the two stored twins do not differ at all"),
        "score_genuine": ("log-odds of speaking", "the model's mean over the frames of the stored genuine clip"),
        "score_adversarial": ("log-odds of speaking", "the same of the stored adversarial clip"),
        "frames_right_genuine": ("share", "of the genuine clip's frames that the model gets right"),
        "frames_right_adversarial": ("share", "the same of the adversarial clip"),
        "frames_flipped": ("share", "of the frames where the two decisions differ"),
        "genuine_video_sha256": ("hex", "of the decoded grey frames, uint8, frame by frame, row by row"),
        "genuine_audio_sha256": ("hex", "of the decoded samples, little-endian int16"),
        "adversarial_video_sha256": ("hex", "the same of the adversarial clip"),
        "adversarial_audio_sha256": ("hex", "the same of the adversarial clip"),
    },
}
CSV = "utf-8-sig"  # the encoding of every table: with the byte order mark that Excel wants
MOST_DRAFTS = 20  # of an export, should answers never stop
FILES = (*TABLES, "study.json", "codebook.md")
CONTENT_TYPES = {"csv": "text/csv", "json": "application/json", "md": "text/markdown"}


def kind_of(name: str) -> str:
    return CONTENT_TYPES[name.rpartition(".")[2]]


def one(store: Store, study_id: str, name: str) -> bytes:
    """One of FILES.

    Raises:
        NotFound: no such study.
    """
    if name == "codebook.md":
        return codebook().encode()
    if name == "study.json":
        return (json.dumps(study_json(store, study_id), indent=2, ensure_ascii=False) + "\n").encode()
    rows = {
        "judgments.csv": judgments,
        "volunteers.csv": volunteers,
        "events.csv": lambda store, study_id: store.results.events(study_id),
        "checks.csv": lambda store, study_id: [
            {**row, "report": json.dumps(row["report"])} for row in store.results.checks(study_id)
        ],
        "stimuli.csv": stimuli,
    }[name](store, study_id)
    return table(list(TABLES[name]), rows).encode(CSV)


def archive(store: Store, study_id: str) -> bytes:
    """All of FILES as one zip, of one moment: while volunteers answer, the files are drawn up again."""
    for _ in range(MOST_DRAFTS):
        moment = store.results.fingerprint(study_id)
        files = {name: one(store, study_id, name) for name in FILES}
        if store.results.fingerprint(study_id) == moment:
            break
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in files.items():
            pack.writestr(f"xab-{study_id}/{name}", content)
    return target.getvalue()


def table(columns: list[str], rows: list[dict]) -> str:
    """CSV with a header; only ``columns``, in their order."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(row.get(name)) for name in columns])
    return target.getvalue()


def cell(value) -> str:
    """A value as text. Text that a spreadsheet would run as a formula gets an apostrophe: browsers name themselves."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return str(value)


def judgments(store: Store, study_id: str) -> list[dict]:
    plays: dict[tuple, int] = {}
    answered = store.results.judgments(study_id)  # before the events: those of an answer are stored with it
    for event in store.results.events(study_id):
        if event["kind"] == "ended":
            key = event["volunteer"], event["position"], event["role"]
            plays[key] = plays.get(key, 0) + 1
    rows = []
    for row in answered:
        seen = json.loads(row["viewport"])
        rows.append(
            {
                **row,
                "correct": row["choice"] == row["match"],
                "finished": row["finished_at"] is not None,
                # No answer without playing all three: where none is known, the record was erased.
                **{f"plays_{role.lower()}": plays.get((row["volunteer"], row["position"], role)) for role in "XAB"},
                "viewport_width": seen.get("width"),
                "viewport_height": seen.get("height"),
                "pixel_ratio": seen.get("pixel_ratio"),
                "clip_width": seen.get("clip_width"),
            }
        )
    return rows


def volunteers(store: Store, study_id: str) -> list[dict]:
    return [{**person, "volunteer": person["number"]} for person in store.links.people(study_id)]


def stimuli(store: Store, study_id: str) -> list[dict]:
    rows = []
    for pair in store.studies.pairs(study_id):
        sums = {}
        for file in pair.stimuli:
            sums[f"{file.twin}_video_sha256"] = file.video_sha256
            sums[f"{file.twin}_audio_sha256"] = file.audio_sha256
        facts = {f"model_{name}": value for name, value in pair.measures.get("detector", {}).items()}
        rows.append({**vars(pair), **facts, **pair.measures, **sums, "pair": pair.position})
    return rows


def study_json(store: Store, study_id: str) -> dict:
    """Design, consent texts, digest and every statistic."""
    found = make_report(store, study_id)
    study = found.study
    return {
        "id": study.id,
        "title": study.title,
        "state": study.state,
        "created_at": study.created_at,
        "frozen_at": study.frozen_at,
        "frozen_digest": study.frozen_digest,
        "archived_at": study.archived_at,
        "withdrawn": study.withdrawn,
        "deleted": study.deleted,
        "design": asdict(study.design) | {"models": [model_label(name) for name in study.design.models]},
        "budget": budget_units(study.design.eps_av),
        "consents": store.results.consents(study_id),
        "headline": found.headline,
        "verdict": {"kind": found.verdict[0], "words": found.verdict[1]},
        "cautions": found.cautions,
        "analysis": found.analysis,
        "stimuli": stimuli_files(store, study_id),
    }


def stimuli_files(store: Store, study_id: str) -> list[dict]:
    """Checksums of every file, for whoever keeps the folder of stimuli."""
    return [{"pair": pair.position, **vars(file)} for pair in store.studies.pairs(study_id) for file in pair.stimuli]


def codebook() -> str:
    """Every file and column in words."""
    lines = [
        "# Codebook",
        "",
        "Text is UTF-8, in CSV after a byte order mark, without which Excel takes it for another encoding (R reads it",
        'with `fileEncoding = "UTF-8-BOM"`). An empty cell means no value. A text that begins with `=`, `+`, `-` or',
        "`@` has an apostrophe before it, so that no spreadsheet runs it. Previews are in no file. Volunteers who",
        "withdrew, or whom the experimenter deleted, are in none either; `withdrawn` and `deleted` in study.json count",
        "those of them who had agreed to take part.",
        "",
    ]
    for name, columns in TABLES.items():
        lines += [f"## {name}", "", "| column | type or unit | meaning |", "|---|---|---|"]
        lines += [f"| {column} | {kind} | {meaning} |" for column, (kind, meaning) in columns.items()]
        lines.append("")
    lines += [
        "## study.json",
        "",
        "The design, every version of the consent text, the digest fixed when the first volunteer started, the",
        "analysis with every interval (`analysis.by` has one entry for each group, uncorrected for their number), and",
        "the checksum of every file.",
        "",
    ]
    return "\n".join(lines)
