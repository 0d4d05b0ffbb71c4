"""An office with two machines: the one that stackdsl runs on, and "box"."""

from stackdsl.lab import Lab

lab = Lab()
office = lab.site("office", nat="preserving")
lab.controller(office)
office.host("box")
