"""`python -m stackdsl`: the same as the command `stackdsl`."""

import sys

from stackdsl.cli import main

sys.exit(main.main())
