"""`python -m hpo.dashboard DIR`."""

from __future__ import annotations

import os
import sys

from hpo.dashboard.command import main

if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # threads that still read for somebody who is gone would be waited for
    os._exit(status)
