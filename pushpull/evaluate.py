"""The command ``python -m pushpull.evaluate``; in Python, ``pushpull.evaluate`` is the function."""

import sys

if __name__ == "__main__":
    from pushpull.evaluation.command import main

    sys.exit(main())

# An imported module would take the function's place in the package. Processes that cut videos run it under this name.
if __name__ != "__mp_main__":
    raise ImportError("pushpull.evaluate is a command; the function is had by  from pushpull import evaluate")
