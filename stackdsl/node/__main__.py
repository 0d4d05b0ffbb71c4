"""The node's entry: ``python -m stackdsl.node --fd N``, or ``--listen N …`` away from its
controller."""

import gc
import sys

# Nothing that is imported is garbage: looking for it meanwhile costs a tenth of the start.
gc.disable()
# asyncio imports ssl if it is there (10 ms, 3 MB); a node speaks no TLS.
sys.modules["ssl"] = None  # type: ignore[assignment]  # None makes the import fail as if missing
import asyncio  # noqa: E402, F401  # see above

del sys.modules["ssl"]

from stackdsl.node import serving  # noqa: E402  # see above

if "--listen" in sys.argv:
    from stackdsl.node import leasing  # only where it is wanted
gc.freeze()
gc.enable()
if "--listen" in sys.argv:
    leasing.main(sys.argv)
serving.main(sys.argv)
