"""The floor of starting and stopping many programs: a bare asyncio program that does only that.

    python bench/floor_start.py COUNT FOLDER

Starts COUNT programs that each write a word into FOLDER; at SIGTERM sends SIGTERM to all, waits
for all (pidfds, no thread a child) and ends.
"""

import asyncio
import signal
import subprocess
import sys


async def main(count: int, folder: str) -> None:
    if sys.version_info < (3, 12):  # the default from 3.12 on
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.get_event_loop_policy().set_child_watcher(watcher)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    processes = [
        await asyncio.create_subprocess_exec(
            "sh", "-c", f"echo $$ >{folder}/s{n}; exec sleep 1000",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for n in range(count)
    ]  # fmt: skip
    await told.wait()
    for process in processes:
        process.terminate()
    for process in processes:
        await process.wait()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
