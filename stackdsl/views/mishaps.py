"""What the error codes mean of what befalls a run on its machines: hosts, starts, services."""

TABLE: dict[str, tuple[str, str]] = {
    # the machine
    "definition.lab-controllers": (
        "a topology says twice where the controller stands",
        "keep one lab.controller(…)",
    ),
    "definition.lab-empty": (
        "a lab has no site, so that no host could stand anywhere",
        'declare one: lab.site("office", nat="preserving")',
    ),
    "definition.lab-overlap": (
        "the public net of a site of a lab overlaps another that is routed",
        "choose another subnet=; only sites with NAT may have the same",
    ),
    "definition.lab-room": (
        "a lab has more sites, or a site more hosts, than there are addresses for",
        "give the site a larger subnet=, or take some out",
    ),
    "definition.lab-twice": (
        "two sites or two hosts of a lab have the same name",
        "rename one of them",
    ),
    "definition.no-lab": (
        "a topology's file holds no Lab",
        "declare one: lab = Lab(), with a site and a host",
    ),
    "definition.second-lab": (
        "a topology's file holds several labs",
        "keep one Lab() in a file",
    ),
    "host.address-missing": (
        "an address that should be listened on is not one of this machine",
        "look at `stackdsl doctor`; loopback must be up",
    ),
    "host.connection-lost": (
        "the other process ended, or its connection did",
        "run the command again; `stackdsl ps` lists what lives",
    ),
    "host.engine-denied": (
        "this user may not write to the socket of the Docker engine",
        "sudo usermod -aG docker $USER, then log in again; or run a rootless engine",
    ),
    "host.engine-down": (
        "the Docker engine does not answer, or its connection ended",
        "start it (sudo systemctl start docker); containers are taken up again when it is back",
    ),
    "host.engine-far": (
        "DOCKER_HOST or the docker context names an engine of another machine",
        'say where the containers stand: runs_on=docker("…", on=ssh("host"))',
    ),
    "host.engine-full": (
        "the disk that the Docker engine keeps images and containers on is full",
        "docker system df shows what takes it; docker system prune frees it",
    ),
    "host.engine-new": (
        "the Docker engine speaks no version of its API that the Python package docker knows",
        "pip install --upgrade docker",
    ),
    "host.engine-old": (
        "the Docker engine is older than 20.10",
        "upgrade Docker",
    ),
    "host.engine-refused": (
        "the Docker engine answered with an error that is shown in its own words",
        "see what it says",
    ),
    "host.lab-deed": (
        "a living lab refused, or it has ended meanwhile",
        "see the reason; stackdsl lab status tells what is up",
    ),
    "host.lab-exec": (
        "a command on a lab's host was not done in its time",
        "give it longer: exec(…, timeout=…)",
    ),
    "host.lab-failed": (
        "a lab could not be built: a host did not come up, or a network was refused",
        "see the reason and the last lines in the error",
    ),
    "host.lab-folder": (
        "a folder of this machine could not be shown to a lab's controller",
        "see the lines in the error; move the stack into an ordinary folder",
    ),
    "host.lab-namespaces": (
        "this machine does not let us make the namespaces that a lab lives in",
        "run it as root, in a container with --privileged, or allow users to make namespaces",
    ),
    "host.lab-needs-root": (
        "a lab's hosts are to have Docker engines, which only root can start",
        "run it as root, or take docker=True out of the topology",
    ),
    "host.lab-off": (
        "a host of a lab is powered off",
        "power it on: power_on() in Python, powered=True in the topology",
    ),
    "host.lab-programs": (
        "programs that a lab is made of are not installed",
        "install the packages that the error names",
    ),
    "host.lab-users": (
        "without root, a lab needs a range of users for its hosts, and this user has none",
        "install uidmap and give the user a range: usermod --add-subuids, --add-subgids",
    ),
    "host.listen": ("the machine refused a listening socket", "see the reason in the error"),
    "host.network-denied": (
        "this user may not make interfaces, addresses or network namespaces here",
        "run as root, or do without isolated=; containers then reach natives at the gateway",
    ),
    "host.network-refused": (
        "the machine or the engine refused a change of the network",
        "see the reason in the error",
    ),
    "host.network-taken": (
        "the addresses or the name of the stack's bridge are those of another network",
        "run it again, or give a subnet of your own: Network(subnet=…)",
    ),
    "host.no-addresses": (
        "other runs took every block of loopback addresses that was tried",
        "stop some of the runs that `stackdsl ps` lists",
    ),
    "host.no-engine": (
        "containers need a Docker engine, and none was found on the machine",
        "install Docker and start it, or set DOCKER_HOST to the socket of an engine",
    ),
    "host.no-folder": (
        "the folder that a program is to start in does not exist; nothing was started",
        "make it, or correct cwd=",
    ),
    "host.no-node": (
        "the machine refuses another process: the one that would start the services",
        "look for a limit on processes or open files (ulimit -u, ulimit -n)",
    ),
    "host.node-keeps-ending": (
        "the process that keeps the services was killed again and again; the run was ended",
        "find out what kills it (dmesg; node.log in the run's folder), then start again",
    ),
    "host.no-program": (
        "a program of the stack is not on this machine; nothing was started",
        "install it, correct the command, or give its full path",
    ),
    "host.no-user": (
        "a user of the stack does not exist here, or may not be used",
        "create the user, run as root, or leave user= out",
    ),
    "host.port-denied": (
        "a port under 1024 needs privilege",
        "run as root, or take another port",
    ),
    "host.port-taken": (
        "another program listens where the stack must",
        "stop that program, or give the service another port",
    ),
    # while it runs
    "link.unreachable": (
        "a packet from where a service is about to start did not reach one that it calls",
        "see the cause: it listens elsewhere, refuses, a firewall drops it, or there is no route",
    ),
    "run.ended": ("the run ended while it was waited for", "start it again: stackdsl start"),
    "run.exec-timeout": (
        "a command that was run beside a service took too long",
        "give it more time, or see what it waits for",
    ),
    "run.external-unreachable": (
        "an external address did not answer from where its callers stand",
        "start it, or correct external(…)",
    ),
    "run.hook-failed": (
        "a hook of a service failed, so the service counts as failed",
        "mend the command in hooks=; its output is in the error",
    ),
    "run.service-failed": (
        "a service ended, or was not ready in time, and is not started again",
        "read its last lines in the error, or all of them: stackdsl logs SERVICE",
    ),
    "run.stopped": (
        "something was waited for that has been stopped",
        "start it again: stackdsl start STACK SERVICE",
    ),
    "run.task-failed": (
        "a task ended with another exit code than 0",
        "read its last lines in the error, or all of them: stackdsl logs TASK",
    ),
    "run.wait-timeout": (
        "what was waited for did not come about in time",
        "see why: stackdsl why SERVICE; or wait longer",
    ),
    "start.ambiguous-process": (
        "attach(process=…) names several processes",
        "give attach(pid=…), or a name that only one of them has",
    ),
    "start.files": (
        "a file of files= could not be made under me.dir",
        "see the reason in the error",
    ),
    "start.folder-closed": (
        "the user of a service cannot come to its own folder",
        "keep state where that user may come: set STACKDSL_STATE, or open the folder (chmod o+x)",
    ),
    "start.logs": ("the log files of a service cannot be written", "see the reason in the error"),
    "start.build-failed": (
        "an image could not be built: a step of its Dockerfile failed, or something is not there",
        "the step and its last lines stand in the error; docker build repeats it",
    ),
    "start.image-denied": (
        "a registry does not give an image to whoever asks",
        "log in (docker login REGISTRY), or correct the image's name",
    ),
    "start.no-command": ("a service has no command to start", "return a command from its body"),
    "start.no-folder": (
        "the folder that a service starts in is missing",
        "make it, or change cwd=",
    ),
    "start.no-image": (
        "an image is not in the engine, and the registry does not have it",
        "correct its name or tag, allow pull=, or build it",
    ),
    "start.no-namespace": (
        "an isolated process could not be given a network of its own",
        "see the reason; isolated= needs root, and a bridge on this machine",
    ),
    "start.no-process": (
        "the process to attach to does not live",
        "start it first, or correct attach(…)",
    ),
    "start.no-program": (
        "the program is not found, is no program, or lacks its interpreter",
        "correct the command or PATH; scripts need a first line such as #!/bin/sh",
    ),
    "start.no-registry": (
        "the registry of an image is not reached from this machine",
        "see whether the machine reaches it, or bring the image there with docker load",
    ),
    "start.no-room": (
        "the machine refuses more processes",
        "end other programs, or raise the limits (ulimit -u, pids.max)",
    ),
    "start.no-user": ("the user of a service does not exist here", "create it, or change user="),
    "start.not-root": (
        "a service is to be another user, which only root can arrange",
        "run stackdsl as root, or leave user= out",
    ),
    "start.refused": ("the system refused to start the program", "see the reason in the error"),
    "teardown.lab": (
        "a lab was still clearing up when time was up",
        "see what holds its folder; its processes end with its guard",
    ),
    "usage.lab-address": (
        "a lab's host is to move to an address that is not of its site, or is taken",
        "choose a free address of the site's net",
    ),
    "usage.lab-port": (
        "what is to be blocked on a lab's host is no port",
        "give a number from 1 to 65535",
    ),
    "usage.lab-stack": (
        "a stack that no file holds cannot be run in a lab: it is loaded anew inside",
        "write it into a file, and give its path",
    ),
    "usage.no-lab": (
        "no lab is up, or it is not clear which is meant",
        "build one: stackdsl lab up; or name one: --lab NAME",
    ),
    "usage.no-lab-host": (
        "a lab has no host or site of that name",
        "name one of those that the error lists",
    ),
    "usage.no-topology": (
        "the file of a topology is not there or cannot be read",
        "give it with --topology FILE; the default for shop.py is shop_lab.py",
    ),
}
