"""What the comparisons share: running a program, a free port, a sample's middle with its spread, and how a table begins."""
import os
import socket
import statistics
import subprocess
import sys

ISONORM = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "isonorm")


def spread(values, digits):
    """The median, with the quartiles where there are any."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def run(command):
    """What a program prints; where it fails, so does this one."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    except OSError as e:
        sys.exit(f"{command[0]} cannot be run: {e.strerror}")
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")
    return done.stdout


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Table:
    """A Markdown table on stdout, behind a line about the machine, which the first result tells."""

    def __init__(self, *head):
        self.head = head
        self.begun = False

    def begin(self, machine):
        """Prints the line and the head, the first time."""
        if not self.begun:
            print(machine, "", *self.head, sep="\n", flush=True)
            self.begun = True
