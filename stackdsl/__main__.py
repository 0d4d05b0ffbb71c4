"""`python -m stackdsl`: the same as the command `stackdsl`."""

from stackdsl.cli import main

main.program()
