from xab_support import clock, database_url, postgres, store  # noqa: F401
