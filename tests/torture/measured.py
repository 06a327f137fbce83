"""Runs a command and writes its status, seconds and megabytes as JSON: `python measured.py DESCRIPTOR COMMAND…`.

A new process counts the memory of the process that started it (Linux keeps the maximum over `exec`). This program is
small; the process of the tests is not.
"""

import json
import os
import resource
import sys

resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))  # a case must not take the memory of the machine
os.set_inheritable(int(sys.argv[1]), False)
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
seconds, megabytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000
os.write(int(sys.argv[1]), json.dumps([os.waitstatus_to_exitcode(status), seconds, megabytes]).encode())
