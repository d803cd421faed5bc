"""The page of an audit: one self-contained HTML file with the verdict, the questions, and what every attack left."""

import base64
import html
import io
import json
from math import isnan
from pathlib import Path

from matplotlib.figure import Figure

from pushpull.evaluation.audit import MASKED, NO_FLAG, ONE_CLASS, UNDECIDED, Audit
from pushpull.evaluation.checks import ENOUGH
from pushpull.evaluation.statistics import Estimate
from pushpull.files import replacing
from pushpull.plots.audit import attacks_figure, ladders_figure

SAID = {
    NO_FLAG: "Under these attacks, on these clips, nothing suggests that the figures come from bad gradients. That is "
    "not a proof of robustness: an attack that nobody has tried may do better.",
    MASKED: "Attacks as the paper's leave more than an answer that looks at nothing, and a sign of masked gradients is "
    "there. Their figures say how hard this detector is to attack with its own gradients, not how robust it is.",
    UNDECIDED: "Attacks leave more frames right than the best constant answer, but these clips are too few to tell "
    "that from chance, or to answer every question with yes or no. Audit it again with long attacks and examples from "
    f"at least {ENOUGH} base clips: on fewer not every answer can be sure.",
    ONE_CLASS: "All frames of these clips are of one class, so that a detector which always says so withstands every "
    "attack. Audit it again on clips of which some frames speak and others do not.",
    "": "Attacks leave no more frames right than the best constant answer: within this budget the detector can be made "
    "to say what the attacker likes.",
}
STYLE = """
:root { color-scheme: light dark; --ink: #22262b; --muted: #5b636c; --line: #d9dde2; --paper: #fff; --good: #00734f;
  --bad: #b3430b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --muted: #a5adb6; --line: #3a4048; --paper: #16181b;
  --good: #4fc79a; --bad: #ff9c66; } img { background: #fff; border-radius: 6px; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.verdict { font-size: 1.25rem; font-weight: 600; } .muted { color: var(--muted); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; } th, td { text-align: left; padding: .35rem .5rem;
  border-bottom: 1px solid var(--line); vertical-align: top; } td.n { text-align: right; white-space: nowrap; }
.pass { color: var(--good); font-weight: 600; } .fail, .perhaps { color: var(--bad); font-weight: 600; }
.perhaps { font-weight: 400; }
img { max-width: 100%; } code { overflow-wrap: anywhere; }
"""


def write_audit(folder: Path, audit: Audit, command: str) -> dict[str, Path]:
    """Write audit.json and audit.html; {name: path}."""
    folder.mkdir(parents=True, exist_ok=True)
    told = audit.to_dict() | {"command": command}
    paths = {}
    for name, text in {
        "audit.json": json.dumps(told, indent=1, ensure_ascii=False) + "\n",
        "audit.html": audit_page(audit, command),
    }.items():
        paths[name] = folder / name
        with replacing(paths[name], "w") as file:
            file.write(text)
    return paths


def audit_page(audit: Audit, command: str) -> str:
    """The page as one string, pictures included; it asks no other host for anything."""
    pictures = {
        "Frames still right under every attack": attacks_figure(audit.attacks, audit.clean, audit.constant),
        "Against the budget, and against the number of steps": ladders_figure(audit.attacks, audit.constant),
    }
    name = html.escape(audit.subject.name)
    said = SAID.get(audit.verdict, SAID[""])
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Audit of {name}: {html.escape(audit.verdict)}</title><style>{STYLE}</style></head><body>
<h1>Audit of {name}</h1>
<p class="muted">SHA-256 <code>{audit.subject.sha256}</code>; {audit.examples} examples from
{audit.attacks["worst of all"]["base_clips"]} base clips, set {audit.set_hash}; it decides at
{html.escape(str(audit.subject.point))}; eps_av
{audit.options.eps_av:g}: sound moves by up to {audit.options.eps_av * 1e-4:g} of full scale, the picture by up to
{audit.options.eps_av * 0.1:g} grey levels.</p>
<p class="verdict">Verdict: {html.escape(audit.verdict)}</p>
<p>{said}</p>
<p>Frames decided right: {audit.clean:.1f} % unattacked, {audit.paper_style:.1f} % under the worst of BIM, MIM and PGD
with cross entropy, {audit.worst:.1f} % under the worst of all attacks; the best constant answer gets
{audit.constant:.1f} %; the worst of all is {_apart(audit.above_constant)} points from it. Worst cases are taken clip by
clip.</p>
<h2>Questions</h2><p class="muted">In brackets: 95 % intervals over base clips. Where one holds the limit, other clips
may well say otherwise: the answer is <em>perhaps</em>, or <em>perhaps not</em>.</p><div class="scroll"><table><tr>
<th>question</th><th></th><th>measured</th><th>limit</th>
<th>if not</th></tr>{"".join(_question(one) for one in audit.flags)}</table></div>
{"".join(_picture(title, figure) for title, figure in pictures.items())}
<h2>Attacks</h2><div class="scroll"><table><tr><th>attack</th><th>frames right (%)</th><th>95 % interval</th>
<th>AP (%), floor {100 * audit.attacks["worst of all"]["floor"]:.1f}</th></tr>
{"".join(_attack(name, found) for name, found in audit.attacks.items())}</table></div>
<p class="muted">Typical log-odds {audit.facts["median_log_odds"]:.2f}; lengths of embeddings, sound
{_number(audit.facts["norm_a"])}, picture {_number(audit.facts["norm_v"])}. Intervals by bootstrap over base clips.</p>
<p class="muted">Made by <code>{html.escape(command)}</code></p>
</body></html>
"""


def _question(flag) -> str:
    kind = {"yes": "pass", "no": "fail", "perhaps not": "perhaps"}.get(flag.answer, "muted")
    limit = "" if flag.limit is None else f"{flag.limit:g}"
    bounds = "" if flag.low is None else f" [{_number(flag.low)}, {_number(flag.high)}]"
    unit = f'<span class="muted">{html.escape(flag.unit)}</span>'
    return (
        f'<tr><td>{html.escape(flag.title)}</td><td class="{kind}">{flag.answer}</td>'
        f'<td>{_number(flag.number)}{bounds} {unit}</td><td class="n">{limit}</td>'
        f'<td class="muted">{html.escape(flag.meaning)}</td></tr>'
    )


def _apart(estimate: Estimate) -> str:
    bounds = "" if isnan(estimate.low) else f" [{estimate.low:+.1f}, {estimate.high:+.1f}]"
    return f"{estimate.value:+.1f}{bounds}"


def _attack(name: str, found: dict) -> str:
    right, score = found["adversarial"]["frame_accuracy"], found["adversarial"]["average_precision"]
    bounds = "" if right["low"] is None else f"{100 * right['low']:.1f} to {100 * right['high']:.1f}"
    ranked = "-" if score["value"] is None else f"{100 * score['value']:.1f}"
    return (
        f'<tr><td>{html.escape(name)}</td><td class="n">{100 * right["value"]:.1f}</td><td class="n">{bounds}</td>'
        f'<td class="n">{ranked}</td></tr>'
    )


def _picture(title: str, figure: Figure) -> str:
    handle = io.BytesIO()
    figure.savefig(handle, format="png", dpi=140)
    encoded = base64.b64encode(handle.getvalue()).decode()
    text = html.escape(title)
    return f'<h2>{text}</h2><img alt="{text}; the table below has the numbers" src="data:image/png;base64,{encoded}">'


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
