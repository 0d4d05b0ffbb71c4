"""The node's entry: ``python -m stackdsl.node --fd N``."""

import gc
import sys

# Nothing that is imported is garbage: looking for it meanwhile costs a tenth of the start.
gc.disable()
# asyncio imports ssl if it is there (10 ms, 3 MB); a node speaks no TLS.
sys.modules["ssl"] = None  # type: ignore[assignment]  # None makes the import fail as if missing
import asyncio  # noqa: E402, F401  # see above

del sys.modules["ssl"]

from stackdsl.node import serving  # noqa: E402  # see above

gc.freeze()
gc.enable()
serving.main(sys.argv)
