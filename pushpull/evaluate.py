"""The command ``python -m pushpull.evaluate``; in Python, ``pushpull.evaluate`` is the function."""

# An imported module would take the function's place in the package.
if __name__ != "__main__":
    raise ImportError("pushpull.evaluate is a command; the function is had by  from pushpull import evaluate")

import sys

from pushpull.evaluation.command import main

sys.exit(main())
