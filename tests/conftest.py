import pushpull  # noqa: F401  isort: skip  (before torch: it says how long idle threads spin)

from ava_support import made, source, tree  # noqa: F401
from media_support import films, mp4  # noqa: F401
from rows_support import footage, splits  # noqa: F401
from xab_support import clock, database_url, postgres, store  # noqa: F401
