# SPDX-License-Identifier: Apache-2.0
"""The command ``accelchain``. Whatever is slow to import comes after the signals are in hand."""

from __future__ import annotations

import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130


def main() -> None:
    """Run the command line; exits 0 succeeded, 1 failed, 2 input wrong, 130 interrupted."""
    try:
        _raise_as_keyboard_interrupt()
        from accelchain.cli.commands import run_command_line

        code = run_command_line()
    except KeyboardInterrupt:
        code = INTERRUPTED
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # nothing interrupts the last steps of the process
    if code == INTERRUPTED:
        sys.stderr.write("interrupted; cleaned up.\n")
    sys.exit(code)


def _raise_as_keyboard_interrupt() -> None:
    """Have every signal raise KeyboardInterrupt, but those that whoever started us wants ignored (nohup, ``&``)."""
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


if __name__ == "__main__":
    main()
