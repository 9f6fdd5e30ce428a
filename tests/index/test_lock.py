import subprocess
import sys

import pytest

from kmed.index.errors import IndexBusyError
from kmed.index.lock import writing

HOLDER = """
import fcntl, os, sys
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(str(os.getpid())); file.flush()
print("held", flush=True)
sys.stdin.read()
"""


def test_only_one_writes_at_a_time(tmp_path):
    with writing(tmp_path):
        with pytest.raises(IndexBusyError, match="only one may write"), writing(tmp_path):
            pass
    with writing(tmp_path):
        pass


def test_an_error_in_the_block_gives_the_lock_back(tmp_path):
    with pytest.raises(RuntimeError, match="no"), writing(tmp_path):
        raise RuntimeError("no")
    with writing(tmp_path):
        pass


def test_the_lock_of_a_killed_process_ends_with_it(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            message = f"process {holder.pid} is writing to .*wait until it has ended"
            with pytest.raises(IndexBusyError, match=message), writing(tmp_path):
                pass
        finally:
            holder.kill()
    with writing(tmp_path):
        pass
