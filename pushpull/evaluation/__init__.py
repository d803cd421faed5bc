"""Many clips, many detectors: what attacks do to them, measured."""
