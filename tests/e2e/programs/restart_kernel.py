"""Run code in a fresh kernel, restart it (asked "shutdown", or "kill"), and end it."""

import sys

from jupyter_client import manager as managers

way, sockets, code = sys.argv[1:]
kernel = managers.KernelManager(kernel_name="python3", transport="ipc", ip=sockets)
kernel.start_kernel()
client = kernel.blocking_client()
client.start_channels()
try:
    client.wait_for_ready(timeout=30)
    reply = client.execute_interactive(code, timeout=30, allow_stdin=False)
    assert reply["content"]["status"] == "ok", reply["content"]
    kernel.restart_kernel(now=way == "kill")
    print("restarted", flush=True)
    sys.stdin.read()  # the new kernel lives until somebody has looked
finally:
    client.stop_channels()
    kernel.shutdown_kernel(now=True)
