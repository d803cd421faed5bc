"""What a visit begins with: the example, and the sample and settings that the page's address asks for."""

from types import SimpleNamespace

import gradio as gr

from pushpull.demo import models, panels
from pushpull.demo.context import DemoContext
from pushpull.demo.example import Example
from pushpull.demo.form import NOTHING, Form
from pushpull.demo.intake import Subject
from pushpull.demo.kept import Kept, gone
from pushpull.demo.link import read_link, write_link
from pushpull.demo.noises import UNIVERSAL, choices, noise_card

# Clicks the card of the sample that the address names, once the gallery is there.
OPEN_LINKED = """() => {
  const name = new URLSearchParams(location.search).get("sample");
  if (name) document.querySelector(`#pp-gallery [data-name="${CSS.escape(name)}"]`)?.click();
}"""
AGAIN = panels.note("Shown is the finished attack that the address names. Choose a clip to run another.")
# The clipboard is open to https pages and to this machine; elsewhere the field below is there to copy from.
COPY = """async () => {
  const field = document.querySelector("#pp-link input");
  if (!field) return;
  field.value = new URL(field.value, location.href.split(/[?#]/)[0]).href;
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    field.closest("label").querySelector("span").textContent = "Copied. The link:";
  } catch {}
}"""


class FirstVisit:
    """Event handlers of what a visit begins with; they return {component: value}.

    Args:
        context: models and samples.
        example: the finished attack.
        ui: the Attack tab's components by name.
        form: the form's components, in the order of ``Form``.
    """

    def __init__(self, context: DemoContext, example: Example, ui: SimpleNamespace, form: list):
        self.context, self.example, self.ui, self.form = context, example, ui, form
        self._built_ready = example.ready

    def arrive(self, request: gr.Request):
        """The page was loaded: the models and samples that there are now, and what its address asks for."""
        ui, cards = self.ui, self.context.detectors.cards()
        samples = [sample.path.stem for sample in self.context.samples()]
        asked = dict(request.query_params)
        noises = self.context.noises_found()
        kept = self._kept(asked.pop("result", None))
        form, sample, face, problems = read_link(asked, list(cards), samples, list(noises))
        if kept is not None and kept.form[0] in cards:
            form = Form(*kept.form)
        chosen = self._choose(form) if asked or kept else {}
        chosen |= {
            ui.model: gr.Dropdown(models.choices(cards), value=form.model or None),
            ui.card: models.model_card(cards.get(form.model)),
            ui.gallery: self.context.gallery(),
            ui.noise: gr.Dropdown(choices(noises), value=form.noise or next(iter(noises), None)),
            ui.noise_card: noise_card(noises.get(form.noise) or next(iter(noises.values()), None)),
            ui.wished: face - 1 if sample and face else None,
            ui.linked: panels.alert(" ".join(["Not all of this link can be followed.", *problems])) if problems else "",
        }
        if kept is not None:
            return chosen | {getattr(ui, name): html for name, html in kept.parts.items()} | {ui.status: AGAIN}
        if "result" in request.query_params:
            chosen[ui.progress] = panels.alert(gone(self.context.store.max_age))
        # An example that came after the start.
        return chosen | ({ui.player: self.example.html()} if self.example.ready and not self._built_ready else {})

    def _kept(self, token: str | None) -> Kept | None:
        return None if token is None else Kept.find(self.context.store, token, "attack", self.form)

    def first_choices(self):
        """The form as it was at first: what the example was made with."""
        return self._choose(Form(self.context.detectors.default() or ""))

    def link(self, sample: int | None, subject: Subject | None, face: int, *values):
        """A field with the address that leads to the chosen sample and face with the form's settings."""
        samples = self.context.samples()
        if sample is None or not 0 <= sample < len(samples):
            return panels.note("A link leads to one of the sample clips: choose one. Your own clip stays yours.")
        chosen = face + 1 if subject is not None and len(subject.footage.clips) > 1 else None
        try:
            return panels.link(write_link(samples[sample].path.stem, Form(*values), chosen))
        except (TypeError, ValueError):
            return panels.alert("A number is missing in the form: enter it first.")

    def _choose(self, form: Form) -> dict:
        values = dict(zip(self.form, vars(form).values(), strict=True))
        noises = self.context.noises_found()
        values[self.ui.noise] = form.noise or next(iter(noises), None)
        return values | {
            self.ui.span: gr.Row(visible=form.target == "span"),
            self.ui.noise_part: gr.Column(visible=form.attack == UNIVERSAL),
            self.ui.survive_part: gr.Accordion(open=form.survive != NOTHING),
        }
