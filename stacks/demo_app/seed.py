"""Choose what to paint, write it into the store, and print its name."""

import random

from client import ask_store
from spots import SPOTS

spot = ask_store("get", key="spot") or random.choice(sorted(SPOTS))
ask_store("set", key="spot", value=spot)
ask_store("set", key="journey", value={"picture": 0, "next": 0})
ask_store("drop", prefix="tile:")
print(spot)
