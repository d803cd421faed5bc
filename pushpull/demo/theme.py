"""How the demo looks: a gradio theme of system fonts, and the style sheet and scripts that the pages share."""

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors

STATIC = Path(__file__).parent / "static"
SANS = ("Inter", "Segoe UI Variable Text", "Segoe UI", "SF Pro Text", "system-ui", "Helvetica Neue", "sans-serif")
MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", "monospace")

# The page's own scripts, from the app itself: nothing is fetched from anywhere else.
SCRIPTS = ("player.js", "address.js", "names.js", "numbers.js", "lists.js", "compare.js", "models.js", "live.js")
HEAD = '<meta name="color-scheme" content="light dark">' + "".join(
    f'<script type="module" src="demo-static/{name}"></script>' for name in SCRIPTS
)
STYLES = [STATIC / name for name in ("page.css", "compare.css", "models.css", "results.css")]

TEAL = colors.Color(
    name="pull",
    c50="#e8f5f3", c100="#cbe9e6", c200="#9cd5d0", c300="#66bcb5", c400="#31a099", c500="#08736d",
    c600="#07655f", c700="#085d59", c800="#0a4a47", c900="#0b3d3b", c950="#052423",
)  # fmt: skip
STONE = colors.Color(
    name="paper",
    c50="#fbfaf6", c100="#f6f4ee", c200="#ece8dc", c300="#dfdacd", c400="#a9a598", c500="#7d7b73",
    c600="#5d6570", c700="#323a48", c800="#1a1f28", c900="#151920", c950="#12151b",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """The theme that all pages are mounted with."""
    base = gr.themes.Base(
        primary_hue=TEAL, secondary_hue=TEAL, neutral_hue=STONE, radius_size="lg", font=SANS, font_mono=MONO
    )
    return base.set(
        body_background_fill="#f6f4ee",
        body_background_fill_dark="#12151b",
        body_text_color="#1c2127",
        body_text_color_dark="#eeece6",
        body_text_color_subdued="#5d6570",
        body_text_color_subdued_dark="#a3abb8",
        background_fill_primary="#fffefb",
        background_fill_primary_dark="#1a1f28",
        background_fill_secondary="#f6f4ee",
        background_fill_secondary_dark="#151920",
        block_background_fill="#fffefb",
        block_background_fill_dark="#1a1f28",
        block_border_color="#dfdacd",
        block_border_color_dark="#323a48",
        block_label_text_color="#5d6570",
        block_label_text_color_dark="#a3abb8",
        block_title_text_color="#323a48",
        block_title_text_color_dark="#dfdacd",
        block_title_text_weight="600",
        block_shadow="none",
        input_background_fill="#fffefb",
        input_background_fill_dark="#12151b",
        input_border_color="#cfc9b9",
        input_border_color_dark="#414b5c",
        slider_color="#1c2127",
        slider_color_dark="#eeece6",
        button_secondary_background_fill="#ece8dc",
        button_secondary_background_fill_dark="#232a36",
        button_large_text_weight="650",
    )
