# SPDX-License-Identifier: Apache-2.0
"""Speaks the worker's protocol and does what its plan says; stands for the runtime in the kubelet's tests."""

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1


def main() -> int:
    if "--die-with-parent" in sys.argv:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        sys.argv.remove("--die-with-parent")
    if "--warm" in sys.argv:
        if os.environ.get("STANDIN_BROKEN"):
            print("no driver", file=sys.stderr)
            return 3
        print("warming up", file=sys.stderr, flush=True)
        print(json.dumps({"ready": True}), flush=True)
        line = sys.stdin.readline()
        if not line:
            return 0
        job = json.loads(line)
        os.environ.update(job["env"])
        os.chdir(job["cwd"])
        descriptor = os.open(job["stdout"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        argv, way = job["argv"], "warm"
    else:
        argv, way = sys.argv[1:], "cold"
    parser = argparse.ArgumentParser()
    for option in ("--plan", "--termination-log", "--token-file"):
        parser.add_argument(option)
    options = parser.parse_args(argv)
    with open(options.plan) as stream:
        plan = json.load(stream)
    token = ""
    if options.token_file:
        with open(options.token_file) as stream:
            token = stream.read()
    said = {"way": way, "pid": os.getpid(), "token": token, "address": os.environ.get("ACCELCHAIN_STATUS_ADDRESS")}
    if plan.get("ignore_sigterm"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if plan.get("child"):
        said["child"] = subprocess.Popen(["sleep", "600"]).pid
    print(json.dumps(said), flush=True)
    with open(options.termination_log, "w") as stream:
        stream.write(plan.get("message", "done"))
    for number in range(plan.get("lines", 0)):
        print(f"line {number}", flush=True)
    until = plan.get("until")
    while until and not os.path.exists(until):
        time.sleep(0.01)
    if until:
        print("last line", flush=True)
    return int(plan.get("code", 0))


if __name__ == "__main__":
    sys.exit(main())
