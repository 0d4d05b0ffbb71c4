"""A run that others can find: the store of runs (SQLite), the socket that a controller serves."""
