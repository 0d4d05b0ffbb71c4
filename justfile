# The one door for people and CI. `./just` sets up .venv first; `./just --list` names the recipes.

set positional-arguments

export PATH := justfile_directory() / ".venv/bin" + ":" + env("PATH")

# name the recipes
default:
    @just --list --unsorted

# run the demo stack (arguments go to `stackdsl run`)
[no-exit-message]
demo *args:
    @stackdsl run stacks/demo.py "$@"

# run the tests (arguments go to pytest)
test *args: system
    pytest "$@"

# run everything that CI asks for; the tests look at the pages too, and theirs is the last line
check: lint types layers test

# find mistakes and untidy places
lint:
    ruff check .
    ruff format --check .

# check the types
types:
    mypy

# check that imports run downward, and that each outside library has one home
layers:
    lint-imports

# tidy the code
format:
    ruff check --fix .
    ruff format .

# open the tour in JupyterLab (arguments go to `jupyter lab`)
[no-exit-message]
notebook *args:
    @jupyter lab $([ "$(id -u)" != 0 ] || echo --allow-root) notebooks/tour.ipynb "$@"

# write the generated pages anew and check code, links and anchors in docs/
docs:
    python docs/generate.py
    pytest -q tests/docs

# draw the picture of a real run anew
picture:
    python docs/picture.py

# measure (names choose benchmarks; a broken bound is an error)
bench *args:
    @python -m bench "$@"

# install the programs that the tests start (as root on Debian; else say what is missing)
system:
    @.ci/system
