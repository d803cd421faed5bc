"""The command ``python -m pushpull.audit``; in Python, ``pushpull.audit`` is the function."""

# An imported module would take the function's place in the package.
if __name__ != "__main__":
    raise ImportError("pushpull.audit is a command; the function is had by  from pushpull import audit")

import sys

from pushpull.evaluation.audit_command import main

sys.exit(main())
