"""The command ``python -m pushpull.audit``; in Python, ``pushpull.audit`` is the function."""

import sys

if __name__ == "__main__":
    from pushpull.evaluation.audit_command import main

    sys.exit(main())

# An imported module would take the function's place in the package. Processes that cut videos run it under this name.
if __name__ != "__mp_main__":
    raise ImportError("pushpull.audit is a command; the function is had by  from pushpull import audit")
