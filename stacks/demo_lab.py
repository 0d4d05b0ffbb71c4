"""A small internet for the demo: an office behind a router, a cloud 20 ms away.

stackdsl lab run stacks/demo.py        then, in another terminal: stackdsl lab shell worker-1
"""

from stackdsl.lab import Lab

lab = Lab()
office = lab.site("office", nat="preserving")
cloud = lab.site("cloud", delay="20ms")
lab.controller(office)
office.host("db")
cloud.host("worker-1", user="deploy")
