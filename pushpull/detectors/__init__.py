"""Active speaker detectors: one protocol, the architectures by name, and detectors of one's own."""
