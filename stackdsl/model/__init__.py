"""The words everyone here speaks: frozen data about stacks, places, probes, plans and states.

Laws: no I/O, no clock, no dice; every class is frozen; tuples inside.
"""
