"""The demo's page: its head and its tabs, and how it is mounted."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import gradio as gr
from fastapi import FastAPI

from pushpull.demo import panels
from pushpull.demo.attack_tab import attack_tab
from pushpull.demo.compare_tab import compare_tab
from pushpull.demo.context import DemoContext
from pushpull.demo.example import Example
from pushpull.demo.intake import MAX_BYTES
from pushpull.demo.live_tab import live_tab
from pushpull.demo.models_tab import models_tab
from pushpull.demo.results_tab import results_tab
from pushpull.demo.theme import HEAD, STYLES, theme

CLEAN_EVERY, KEEP = 1800, 2 * 3600  # seconds: gradio's copies of uploads are looked through, and how long they are kept
MAX_WAITING = 20  # visitors in the queue; the next is told to come back
MOUNT = {
    "footer_links": [],
    "run_history": False,
    "show_error": False,
    "max_file_size": MAX_BYTES,
    "ssr_mode": False,
    "allowed_paths": [],
    "head": HEAD,
    "css_paths": STYLES,
}


class TabSpec(NamedTuple):
    """A tab: its title, its name in addresses and events, and what builds it, ``build(page, context, shared)``."""

    title: str
    name: str
    build: Callable


# In this order. What a tab needs of those before it, it finds in ``shared``: ``shared.tabs``, ``shared.tab[NAME]``,
# ``shared.example``, and what they put there themselves.
TABS = (
    TabSpec("Attack", "attack", attack_tab),
    TabSpec("Compare", "compare", compare_tab),
    TabSpec("Models", "models", models_tab),
    TabSpec("Results", "results", lambda page, context, shared: results_tab()),
    TabSpec("Live", "live", lambda page, context, shared: live_tab()),
)


def build_page(context: DemoContext, example: Example, links: dict[str, str]) -> gr.Blocks:
    """The demo as gradio Blocks, to be mounted; ``links`` lead to the app's other pages, title to address."""
    with gr.Blocks(title="pushpull", analytics_enabled=False, delete_cache=(CLEAN_EVERY, KEEP)) as page:
        gr.HTML(panels.header(links), js_on_load=None, elem_id="pp-header")
        with gr.Tabs(elem_id="pp-tabs") as tabs:
            shared = SimpleNamespace(tabs=tabs, tab={}, example=example)
            for tab in TABS:
                with gr.Tab(tab.title, id=tab.name) as shared.tab[tab.name]:
                    tab.build(page, context, shared)
    page.queue(max_size=MAX_WAITING)
    context.line.follow(page)
    return page


def mount_page(app: FastAPI, page: gr.Blocks, root_path: str) -> FastAPI:
    """Serve ``page`` at "/" of ``app``, where it takes every address that nothing else has taken before."""
    app = gr.mount_gradio_app(app, page, path="/", theme=theme(), root_path=root_path, **MOUNT)
    # gradio refuses files that nobody uploaded only in apps that it has launched itself. In a mounted one, a request
    # could name any file of this machine and have it read.
    page.has_launched = True
    return app
