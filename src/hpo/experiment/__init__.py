"""One experiment on disk: its directory, its state database, mp.log, and what produced it."""
