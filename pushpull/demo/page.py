"""The demo's page: its head and its tabs."""

import gradio as gr

from pushpull.demo import panels
from pushpull.demo.attack_tab import attack_tab
from pushpull.demo.context import DemoContext

CLEAN_EVERY, KEEP = 1800, 2 * 3600  # seconds: gradio's copies of uploads are looked through, and how long they are kept
MAX_WAITING = 20  # visitors in the queue; the next is told to come back


def build_page(context: DemoContext, links: dict[str, str]) -> gr.Blocks:
    """The demo as gradio Blocks, to be mounted; ``links`` lead to the app's other pages, title to address."""
    with gr.Blocks(title="pushpull", analytics_enabled=False, delete_cache=(CLEAN_EVERY, KEEP)) as page:
        gr.HTML(panels.header(links), js_on_load=None, elem_id="pp-header")
        with gr.Tabs(), gr.Tab("Attack", id="attack"):
            attack_tab(page, context)
    page.queue(max_size=MAX_WAITING)
    return page
