#!/usr/bin/env python3
"""Breaks one of several ranks in each way that docs/cluster.md names, and shows what the others say, after how long, and with which code.

  isonorm-bench/compare/break_ranks.py [--ranks 3] [NAME ...]

Rank 1 is the one that breaks. After each, no checkpoint may be partial and nothing half-written may be left, the others must have ended with code 1 within a minute, and all that each
has said must be the line that is expected. Ends with 1 where that is not so. A full disk is a small tmpfs, for which it must run as root; Linux only.
"""
import argparse
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from kill_and_resume import require_whole, step
from rounds import ISONORM, free_port, ranks_of, run

KEYS = ["model.width=64", "model.blocks=2", "model.heads=2", "batch=4", "sequence=64", "steps=100000", "log.every=1", "checkpoint.every=5", "checkpoint.keep=2", "eval.every=0", "threads=1",
        "group.timeout=5"]
OTHER = 1  # the rank that breaks
MINUTE = 60
OPTIONS = os.environ.get("ISONORM_JAVA_OPTS", "")


class Group:
    """Ranks of a run in a folder of their own."""

    def __init__(self, folder, ranks):
        self.folder, self.out, self.ranks = folder, folder / "run", ranks
        self.processes = {}
        self.port = str(free_port())

    def start(self, keys=(), all_keys=(), environment=None, here=None, but=()):
        """Starts all ranks, the one that breaks with keys, variables and a folder of its own."""
        for rank in [rank for rank in range(self.ranks) if rank not in but]:
            own = rank == OTHER
            launched = ranks_of(self.ranks, "127.0.0.1", self.port)[rank]
            self.processes[rank] = subprocess.Popen([ISONORM, "train", *KEYS, f"out={self.out}", "-q", *all_keys, *(keys if own else ())], stdout=subprocess.DEVNULL, cwd=here if own and here else self.folder,
                                                    stderr=open(self.folder / f"said-{rank}", "w"), env=os.environ | launched | (environment or {} if own else {}))

    def until_steps(self):
        """Waits until there is a checkpoint."""
        end = time.monotonic() + 5 * MINUTE
        while not list(self.out.glob("checkpoint-*")):
            if time.monotonic() > end or any(process.poll() is not None for process in self.processes.values()):
                sys.exit(f"the run does not begin: {self.folder}")
            time.sleep(0.05)
        time.sleep(0.5)

    def others(self):
        return {rank: process for rank, process in self.processes.items() if rank != OTHER}

    def said(self, rank):
        return (self.folder / f"said-{rank}").read_text().strip()

    def close(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


@contextlib.contextmanager
def small_disk(folder, mebibytes):
    """A file system with little room."""
    folder.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)])
    try:
        yield folder
    finally:
        run(["umount", "-l", str(folder)])


def killed(group, _):
    group.start()
    group.until_steps()
    group.processes[OTHER].send_signal(signal.SIGKILL)


def stopped(group, _):
    group.start()
    group.until_steps()
    group.processes[OTHER].send_signal(signal.SIGSTOP)


def terminated(group, _):
    group.start()
    group.until_steps()
    group.processes[OTHER].send_signal(signal.SIGTERM)


def no_more_memory(group, _):
    group.start()
    group.until_steps()
    run(["prlimit", f"--pid={group.processes[OTHER].pid}", "--as=1000000"])


def full_disk(group, stack):
    stack.enter_context(small_disk(group.folder / "disk", 32))
    group.out = group.folder / "disk" / "run"
    group.start()
    group.until_steps()
    with contextlib.suppress(OSError), open(group.folder / "disk" / "full", "wb") as file:
        while True:
            file.write(bytes(1 << 12))
            file.flush()


def full_cache(group, stack):
    cache = stack.enter_context(small_disk(group.folder / "cache", 50))
    group.start(environment={"ISONORM_JAVA_OPTS": f"{OPTIONS} -Dorg.bytedeco.javacpp.cachedir={cache}"})


def configuration(group, _):
    group.start(keys=["lr=0.5"])


def version(group, _):
    words = group.folder / "words" / "isonorm" / "family"
    words.mkdir(parents=True)
    (words / "version.properties").write_text("version=0.0.1\n")
    group.start(environment={"ISONORM_JAVA_OPTS": f"{OPTIONS} -Xbootclasspath/a:{group.folder / 'words'}"})


def data(group, _):
    here = group.folder / "here"
    tokenizer = pathlib.Path(ISONORM).parent / "examples" / "shakespeare-gpt2" / "tokenizer.json"
    for folder, text in ((group.folder, "One and the same.\n\n" * 2000), (here, "Another one.\n\n" * 3000)):
        folder.mkdir(exist_ok=True)
        (folder / "text.txt").write_text(text)
        run([ISONORM, "data", "build", str(folder / "text.txt"), "--tokenizer", str(tokenizer), "--out", str(folder / "tokens"), "-q"])
    group.start(all_keys=["data=tokens"], here=here)


def absent(group, _):
    group.start(but=[OTHER])


def wrong_port(group, _):
    group.start(environment={"MASTER_PORT": str(free_port())})


# What breaks the rank, and what the others say.
LOST = r"rank 1 \(127\.0\.0\.1\) was lost, its connection is closed; start the same command again, which goes on from the last checkpoint"
ABSENT = r"of \d ranks rank 1 did not come to 127\.0\.0\.1:\d+ within 25 s; look at what its machine says|rank 0, or the launcher at 127\.0\.0\.1:\d+, was lost before rank 1 had come"
BREAKS = {
    "killed": (killed, LOST),
    "stopped": (stopped, r"rank 1 \(127\.0\.0\.1\) gave no answer within 5 s; start the same command again, which goes on from the last checkpoint"),
    "terminated": (terminated, None),
    "no more memory": (no_more_memory, r"rank 1 \(127\.0\.0\.1\) (failed: .*memory.*|was lost, .*)"),
    "full disk": (full_disk, r"(rank \d \(127\.0\.0\.1\) failed: )?.* (needs \d+ bytes, and its file system has \d+ available|cannot be written: no space left on device.*)"),
    "full cache": (full_cache, ABSENT),
    "other configuration": (configuration, r"the configuration must be one and the same, got lr 0\.002 of rank 0 and 0\.5 of rank 1 \(127\.0\.0\.1\); start all ranks with the same command"),
    "other version": (version, r"all ranks must run the same version of Isonorm, got .* as rank 0 and 0\.0\.1 as rank 1 \(127\.0\.0\.1\)"),
    "other data": (data, r"all ranks must read the same data, got other examples on rank 1 \(127\.0\.0\.1\) than on rank 0; look at what data names there"),
    "absent": (absent, ABSENT),
    "wrong port": (wrong_port, ABSENT),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=3)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BREAKS))
    options = parser.parse_args()
    run([ISONORM, "--version"])  # builds, if need be
    wrong = False
    for name in options.names or BREAKS:
        action, expected = BREAKS[name]
        folder = pathlib.Path(tempfile.mkdtemp(prefix="isonorm-break-"))
        group = Group(folder, options.ranks)
        faults = []
        with contextlib.ExitStack() as stack:
            try:
                action(group, stack)
                begin = time.monotonic()
                ended = {}
                while len(ended) < len(group.others()) and time.monotonic() - begin < 5 * MINUTE:
                    for rank, process in group.others().items():
                        if rank not in ended and process.poll() is not None:
                            ended[rank] = time.monotonic() - begin
                    time.sleep(0.02)
                for rank, process in group.others().items():
                    if rank not in ended:
                        faults.append(f"rank {rank} does not end")
                    elif process.returncode != 1:
                        faults.append(f"rank {rank} ended with {process.returncode}")
                    if expected and not re.fullmatch(f"isonorm: (?:{expected})", group.said(rank)):
                        faults.append(f"rank {rank} said something else")
                if OTHER in group.processes and name != "stopped":
                    group.processes[OTHER].wait(MINUTE)
                print(f"{name}: the others ended after {max(ended.values(), default=float('nan')):.1f} s, {step(group.out)}")
                for rank in sorted(group.processes):
                    print(f"  rank {rank} ({group.processes[rank].poll()}): {group.said(rank)}")
                try:
                    require_whole(group.out)
                except Exception as e:
                    faults.append(str(e))
                faults += [f"{left} is left" for left in group.out.glob(".*") if left.name != ".lock"]
                print("".join(f"  WRONG: {fault}\n" for fault in faults), end="", flush=True)
            finally:
                group.close()
        wrong = wrong or bool(faults)
        if not faults:
            shutil.rmtree(folder)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
