"""What each error code means, in words that hold for every error of that code."""

from typing import NamedTuple

from stackdsl.views import farmishaps, mishaps


class Explanation(NamedTuple):
    """What a code means, and what to do."""

    means: str
    do: str


_BUG = "report it, with what --traceback shows; it is a fault of stackdsl, not of your stack"

_OWN: dict[str, tuple[str, str]] = {
    # the stack's file
    "definition.bad-body": (
        "a body is async, a generator, or takes something that no value can be given for",
        "make it a plain function whose parameters are names of services, tasks, or me",
    ),
    "definition.bad-command": (
        "a body returned something that is no command",
        "return a list of words, one string (split as a shell splits words), a Command, or None",
    ),
    "definition.bad-name": (
        "a name has other characters than a-z, 0-9, _ and -, or does not begin with a letter",
        "rename it; names become variables, folders and host names",
    ),
    "definition.bad-need": (
        "needs= holds something that is neither a service, a task, a name nor a condition of one",
        'write "db", db, started(db), ready(db), completed(t) or planned(b)',
    ),
    "definition.bad-reference": (
        "a ${…} in a template or value cannot be read",
        "write ${name.field}, as ${db.addr}; $${ stands for the characters themselves",
    ),
    "definition.bad-value": (
        "a keyword was given a value of the wrong kind or out of its range",
        'see what the error says it takes; times are seconds or texts such as "500ms"',
    ),
    "definition.body-raised": (
        "a body, called while planning, raised an error of its own",
        (
            "see the lines of your file in the error; bodies are called with addresses, to return a"
            " command, and do not run the program"
        ),
    ),
    "definition.cycle": (
        "services wait for each other in a circle, so that none could be the first",
        "break it: where one only needs the other's address, use planned(…)",
    ),
    "definition.empty": (
        "the file defines no service and no task, nor imports any by name",
        "decorate a function with @service() or @task(), or import one by name",
    ),
    "definition.import": (
        "the file, or one that it imports, could not be imported",
        "install what is missing into the environment that stackdsl runs in",
    ),
    "definition.name-taken": (
        "two services or tasks have the same name",
        "rename one, or remove it; in loops give each its own name=",
    ),
    "definition.no-command": (
        "a native service has nothing to run: its body returned None",
        "return a command from the body",
    ),
    "definition.no-output": (
        "the output of something that is no task was read",
        "only tasks have .output; read a service's address instead",
    ),
    "definition.no-port": (
        "the address of a service that has no port was read",
        "give it port=…",
    ),
    "definition.no-scheme": (
        "the .url of a port with no known scheme was read",
        'give Port(…, scheme="http") or an http probe, name the port http, or read .addr',
    ),
    "definition.port-clash": (
        "two ports of one service are the same",
        "give each its own number and name",
    ),
    "definition.raised": (
        "the file raised an error while it was read",
        "see the lines of your file in the error",
    ),
    "definition.second-stack": (
        "a module makes more than one Stack(…)",
        "keep one; put the other stack into a file of its own",
    ),
    "definition.secret-unset": (
        "a secret has no value: its variable is unset, its file missing, or its command failed",
        "set it, or give secret(…, default=…)",
    ),
    "definition.syntax": ("the file is no valid Python", "mend the line that is shown"),
    "definition.unknown-attribute": (
        "a ${name.field} asks for a field that there is not",
        "use one of host, port, addr, url, ports, name, output",
    ),
    "definition.unknown-keyword": (
        "a keyword is unknown",
        "correct its spelling; the nearest known one is named in the error",
    ),
    "definition.unknown-name": (
        "a parameter, a need or a reference names nothing in the stack",
        "correct its spelling, define it, or import it by name",
    ),
    "definition.unknown-port": (
        "a probe or reference names a port that the service has not",
        "use one of its ports, or add it to ports=",
    ),
    "definition.variable-clash": (
        "two things would be told in the same environment variable",
        "rename one of the services or ports, or set the variable yourself in env=",
    ),
    "definition.variable-unset": (
        "a ${VARIABLE} is not set in the environment",
        "set it, or give a default: ${VARIABLE:-value}",
    ),
    # the plan
    "plan.cycle": (
        "services wait for each other in a circle",
        "use planned(…) where only an address is needed",
    ),
    "plan.env-clash": (
        "two injected variables of one service have the same name",
        "rename one of the services or ports, or set the variable yourself in env=",
    ),
    "plan.literal-text": (
        "a text in files= holds ${name.field}, which only templates fill in (a warning)",
        "put the text into a file and give template(…), or leave it if it is meant as it stands",
    ),
    "plan.no-block": (
        "no block of loopback addresses is free for the run",
        "stop some of the runs that `stackdsl ps` lists",
    ),
    "plan.no-container": (
        "a container that is attached to is not there, or has no address",
        "start it first, or correct its name; `docker ps -a` lists them",
    ),
    "plan.no-image": (
        "an image is neither in the engine, nor can it be built or pulled",
        "correct its name, log in to its registry, or give build=",
    ),
    "plan.no-privilege": (
        "isolated=True wants a network namespace, which may not be made here",
        "run as root, or leave isolated= out",
    ),
    "plan.no-subnet": (
        "no subnet is free for the run's bridge: every one would meet a route of the machine",
        "give the stack a free one: Stack(network=Network(subnet=…))",
    ),
    "plan.no-port": (
        "no port between 20000 and 29999 is free where one is needed",
        "stop other programs, or give the service another port",
    ),
    "plan.no-route": (
        "a caller cannot reach what it needs, by no kind of link",
        "put both where they reach each other, or allow another kind of network",
    ),
    "plan.not-yet": (
        "the stack uses something that this version cannot run yet",
        "leave it out, or use a later version",
    ),
    "plan.port-changed": (
        "a port is not the one declared: that one was not free (a warning)",
        "free it, or live with the other one; callers are told the right one",
    ),
    "plan.port-clash": (
        "two services want the same address and port on the whole machine",
        "change one, or give listens= another port",
    ),
    "plan.port-privileged": (
        "a port under 1024 cannot be bound without privilege (a warning)",
        "callers are told another port; run as root to have the declared one",
    ),
    "plan.port-taken": (
        "a port that the stack needs on this machine is taken by another program or run",
        "stop that one, or give the service another port",
    ),
    "plan.published-widely": (
        "a port is published to every machine that reaches this one (a warning)",
        "publish=8080 opens it for this machine only",
    ),
    "plan.secret-in-command": (
        "a secret stands in a command, where other users can read it (a warning)",
        "hand it over in the environment or in a file",
    ),
    "plan.unknown-need": (
        "a service needs something that is not in the stack",
        "add it, or remove the need",
    ),
    "plan.unknown-port": (
        "a probe names a port that the service has not",
        "use one of its ports, or add it to ports=",
    ),
    # containers
    "run.container-refused": (
        "the engine refuses something of a container for now",
        "see what it says: a port that is taken, a disk that is full",
    ),
    "run.container-stuck": (
        "an earlier container of that name is not removed by the engine",
        "remove it: docker rm -f NAME",
    ),
    "run.engine-away": (
        "the engine is not reached, so its containers cannot be worked with",
        "start the engine; what waits for it goes on then",
    ),
    "start.container-name": (
        "another container has the name that a replica's is to have",
        "remove that one, or run a copy of the stack with --copy NAME",
    ),
    "start.container-options": (
        "an option of docker(…) is not known, or has a value that is refused",
        "correct it; options are those of containers.run of the Python package docker",
    ),
    "start.container-refused": (
        "the engine refuses to create or start a container as it is described",
        "correct what it names",
    ),
    "start.no-container": (
        "the container of attach(container=…) is not there, or does not run",
        "start it, or correct its name: docker ps lists names",
    ),
    # what is kept on disk
    "state.corrupt": (
        "a state file is damaged, or is not ours; it was not touched",
        "move it away, then run `stackdsl clean` to give back what it knew",
    ),
    "state.disk-full": (
        "the disk under the state folder is full; what runs goes on",
        "free some space",
    ),
    "state.ending": (
        "an earlier run of that name is still being given back after its owner died",
        "wait a moment, end it with stackdsl stop, or start a copy with --copy NAME",
    ),
    "state.locked": ("another process holds a state file", "run the command again"),
    "state.newer": (
        "a newer stackdsl wrote the state; this one does not touch it",
        "use that version, or name another state folder in $STACKDSL_STATE",
    ),
    "state.refused": ("a state file cannot be read or written", "see the reason in the error"),
    "state.unwritable": (
        "the state folder cannot be written",
        "make it writable, or name another in $STACKDSL_STATE",
    ),
    "teardown.left": (
        "processes of a run would not go, not even by SIGKILL",
        "look at them with ps: they may be another user's, or hang in the kernel",
    ),
    "teardown.node": (
        "the node of a run did not answer while the run was ended",
        "run `stackdsl clean`: it finds by marks what was left",
    ),
    # the call
    "usage.alive": ("a living replica cannot be changed in place", "restart it"),
    "usage.bad-replacement": (
        "replace(…) was given something that is neither a service nor a place",
        "give a service, a task or a place",
    ),
    "usage.begun": ("a node works for one run only", _BUG),
    "usage.call": ("an argument or option is missing or cannot be read", "see COMMAND --help"),
    "usage.choice": ("an option takes one of a few words", "choose one that the error names"),
    "usage.choose": (
        "no STACK was given and there are several to choose from",
        "name one as the first word, or with --stack",
    ),
    "usage.copy-name": (
        "a copy's name has characters that folders and names cannot have",
        'use letters, digits, ".", "_" and "-"',
    ),
    "usage.do": ("`do` takes one task", "stackdsl do [STACK] TASK"),
    "usage.duration": ("a time cannot be read", 'give seconds, or text as "500ms", "10s", "2m"'),
    "usage.exec": ("`exec` takes a service and a command", "stackdsl exec [STACK] SERVICE -- ARGV"),
    "usage.exec-failed": (
        "the command cannot be run where the service runs",
        "give its full path; see the folder and PATH in the error",
    ),
    "usage.facts": (
        "the file of --facts is no facts",
        "write one with: stackdsl doctor --json > facts.json",
    ),
    "usage.no-file": (
        "there is no such file, or the run was not started from one",
        "name the file of the stack",
    ),
    "usage.output": (
        "the file of --output cannot be written",
        "name a file in a folder that exists and may be written to",
    ),
    "usage.unwritten": (
        "standard output goes to where nothing can be written, as to a disk that is full",
        "send it to where there is room for it",
    ),
    "usage.no-port": ("a service without a port has no address", "give it port=… in the stack"),
    "usage.no-run": ("no living run is meant by these words", "see `stackdsl ps`, or start it"),
    "usage.no-scheme": (
        "a port without a scheme has no URL",
        "give it Port(…, scheme=…) or an http probe in the stack, or use .addr",
    ),
    "usage.no-stack": (
        "no STACK was given, and none is found here",
        "name a file, or go where stack.py or stacks/ is",
    ),
    "usage.no-surroundings": (
        "nothing of this service is started by the stack",
        "name a service that the stack starts",
    ),
    "usage.no-widgets": (
        "the panel of a run is drawn with ipywidgets, which is not installed",
        'install it where the notebook runs: pip install "stackdsl[notebook]"',
    ),
    "usage.not-a-task": ("only tasks can be done again", "restart a service: stackdsl restart"),
    "usage.not-begun": ("a node was asked before its run was begun", _BUG),
    "usage.not-python": ("the stack's file is no Python file", "name a file that ends in .py"),
    "usage.run-lives": (
        "a run of that name is alive already",
        "stop it, change it with `start`, or run a second one beside it: --copy NAME",
    ),
    "usage.run-not-served": (
        "the run lives without a controller, so nobody answers for it",
        "`stackdsl start` takes it back, `stackdsl stop` ends it",
    ),
    "usage.secrets-unknown": (
        "the output of an ended run may hold secrets that cannot be masked any more",
        "mend the stack's file, or read the log files yourself",
    ),
    "usage.shell": ("`shell` takes one service", "stackdsl shell [STACK] SERVICE"),
    "usage.still-needed": (
        "without(…) would remove something that others need",
        "remove those too, or replace it",
    ),
    "usage.unknown-call": (
        "the two processes are of different versions of stackdsl",
        "stop the run with the version that started it",
    ),
    "usage.unknown-code": ("there is no such error code", "see the last line of an error"),
    "usage.unknown-command": ("there is no such command", "see stackdsl --help"),
    "usage.unknown-option": ("the command has no such option", "see COMMAND --help"),
    "usage.unknown-service": (
        "the run has no service or task of that name",
        "see `stackdsl status`",
    ),
    "usage.unknown-stack": (
        "the word is neither an existing file nor a living run",
        "name a file, or a run that `stackdsl ps` lists",
    ),
    "usage.unknown-state": ("there is no such state", "choose one that the error names"),
    "usage.unreadable": ("the stack's file cannot be read", "see the reason in the error"),
    "usage.words": ("words are left over that mean nothing", "see COMMAND --help"),
    # our own faults
    "internal.call": ("a call between our processes failed", _BUG),
    "internal.codec": ("a message between our processes cannot be read", _BUG),
    "internal.command": ("a command failed in a way that nobody thought of", _BUG),
    "internal.controller": ("the controller process of a run could not start", _BUG),
    "internal.events": ("the events of a run could not be told to one of its readers", _BUG),
    "internal.frame": ("a message between our processes is too large", _BUG),
    "internal.load": ("a stack was loaded as something else", _BUG),
    "internal.resolve": ("the plan of a replica could not be finished", _BUG),
    "internal.stop": ("the stop of a run was cut short; stackdsl clean ends what is left", _BUG),
}
_TABLE = _OWN | mishaps.TABLE | farmishaps.TABLE

CODES = frozenset(_TABLE)


def find(code: str) -> Explanation | None:
    """Return what a code means."""
    row = _TABLE.get(code)
    return None if row is None else Explanation(*row)


def find_near(code: str) -> list[str]:
    """Return the known codes that look like ``code``."""
    import difflib  # only on the way out

    near = difflib.get_close_matches(code, sorted(CODES), n=3)
    slug = code.rpartition(".")[2]
    same = [known for known in sorted(CODES) if known.rpartition(".")[2] == slug]
    return list(dict.fromkeys([*same, *near]))[:3]
