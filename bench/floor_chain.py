"""The floor of a chain: start a program, try to connect every millisecond, start the next.

python bench/floor_chain.py COUNT DELAY_US LISTENER FOLDER
"""

import os
import socket
import subprocess
import sys
import time


def is_listening(host: str, port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex((host, port)) == 0


count, delay_us, listener, folder = sys.argv[1:]
processes = []
for n in range(int(count)):
    host = f"127.77.{os.getpid() % 250}.{n + 1}"
    environment = os.environ | {"HOST": host, "PORT": "7100"}
    argv = [listener, delay_us, f"{folder}/words/s{n:02}"]
    processes.append(subprocess.Popen(argv, env=environment))
    while not is_listening(host, 7100):
        time.sleep(0.001)
for process in processes:
    process.wait()
