"""What one choice in the form brings with it: a noise its budget and aim, a file the budget and steps that reach it."""

from types import SimpleNamespace

import gradio as gr

from pushpull.demo import panels
from pushpull.demo.context import DemoContext
from pushpull.demo.form import NOTHING
from pushpull.demo.noises import UNIVERSAL, form_choices, noise_card

# What a codec leaves of an attack asks for more than the paper's budget; each step writes and reads a file.
SURVIVE_EPS, SURVIVE_STEPS, SURVIVE_ATTACK = 20.0, 10, "bim"


class FormFits:
    """Event handlers of the form; they return {component: value}.

    Args:
        context: the noises that there are.
        ui: the Attack tab's components by name.
    """

    def __init__(self, context: DemoContext, ui: SimpleNamespace):
        self.context, self.ui = context, ui

    def card(self, name: str | None) -> str:
        """What is known of the noise that was chosen, as HTML."""
        return noise_card(self.context.noises_found().get(name))

    def noise(self, attack: str, name: str | None):
        """A noise was chosen: the budget, the modality and the aim that it was made for; it survives nothing."""
        path = self.context.noises_found().get(name)
        if attack != UNIVERSAL or path is None:
            return {self.ui.eps: gr.skip()}
        ui, (eps_av, modality, target) = self.ui, form_choices(path)
        return {ui.eps: eps_av, ui.modality: modality, ui.target: target, ui.survive: NOTHING}

    def survive(self, survive: str, attack: str):
        """A codec was chosen: what reaches through it in a time that one waits for."""
        ui = self.ui
        if survive == NOTHING:
            return {ui.surviving: ""}
        said = (
            f"The form now says BIM, {SURVIVE_STEPS} steps and a budget of {SURVIVE_EPS:g}: a codec leaves next to "
            "nothing of 5, and every step writes a file and reads it again. A long or large clip takes minutes: "
            "stand-ins for the codec are sooner. Values are storable ones throughout."
        )
        return {
            ui.eps: SURVIVE_EPS,
            ui.attack: SURVIVE_ATTACK,
            ui.steps: SURVIVE_STEPS,
            ui.surviving: panels.note(said),
        }
