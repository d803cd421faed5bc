"""The browser demo: the Attack tab and what it is made of. Needs gradio."""

import os

# Read by gradio and huggingface_hub when they are imported, hence here: nothing is reported, nothing is looked up.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
