"""The Python half of `cargo xtask bench speed`.

One JSON object per line on stdin is a request, one per line on stdout its answer; see `speed/worker.py`. Whatever
else is printed goes to stderr.
"""

import os
import sys

# The sources may be read-only, and belong to a work tree.
sys.dont_write_bytecode = True
# matplotlib, which captum imports, keeps a cache. Beside the environment, not in the user's home.
if sys.prefix != sys.base_prefix:
    os.environ.setdefault("MPLCONFIGDIR", os.path.join(sys.prefix, "matplotlib"))

from speed.worker import main

if __name__ == "__main__":
    main()
