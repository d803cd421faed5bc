"""Many clips, many detectors: the paper's tables and figures with intervals, and an audit that could refute them."""
