"""What the comparisons share: running a program or several together, a free port, a sample's middle with its spread, and how a table begins."""
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


def together(commands):
    """What the first of some programs prints that run at once, each a command and what its environment has besides; where one fails, all are ended and so does this one."""
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | more) for command, more in commands]
    try:
        printed = [process.communicate()[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(process.returncode for process in processes):
        sys.exit(f"{' '.join(commands[0][0][:4])} and those beside it ended with {[process.returncode for process in processes]}")
    return printed[0]


def ranks_of(count, address, port):
    """What a launcher tells each rank of a group on one machine."""
    return [{"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": address, "MASTER_PORT": str(port)} for rank in range(count)]


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
