"""How fast stackdsl is: every figure a ratio to a floor, or beside a peer, measured in one run."""
