"""Runs a recipe in child processes that kill themselves.

    python -m tests.engine.killed MANIFEST OUT MOMENT... -- SET...

Each MOMENT is one attempt. `3.5s` kills after so many seconds, `120e` at the 120th time that Python opens, renames or
removes something inside OUT. A killed run is resumed by the next attempt; a finished one is left in OUT/0, OUT/1, ...
and the next attempt starts a new one. A last attempt without a kill finishes the last run. Prints a line an attempt.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

from pondera.engine.run import run_recipe
from tests.engine.small import small_recipe

_EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"}


def kill_at(moment: str, out: Path) -> None:
    """Arrange for this process to be killed."""
    if moment.endswith("s"):
        timer = threading.Timer(float(moment[:-1]), os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
        return
    left = int(moment[:-1])

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in _EVENTS and str(out) in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def attempt(manifest: Path, out: Path, moment: str | None, changes: list[str]) -> int:
    """Run in a fork until the end or the kill; 0 when the run ended."""
    child = os.fork()  # torch is loaded once
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        if moment is not None:
            kill_at(moment, out)
        run_recipe(small_recipe(manifest, *changes), out, resume=True)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)  # the child must not come back into the loop of its parent


def main() -> None:
    """All attempts."""
    split = sys.argv.index("--")
    manifest, out, *moments = sys.argv[1:split]
    folders: Iterator[Path] = (Path(out) / str(number) for number in itertools.count())
    folder = next(folders)
    for moment in [*moments, None]:
        code = attempt(Path(manifest), folder, moment, sys.argv[split + 1 :])
        print(folder, moment, "killed" if code == -signal.SIGKILL else "ended" if code == 0 else code, flush=True)
        if code == 0 and moment is not None:
            folder = next(folders)


if __name__ == "__main__":
    main()
