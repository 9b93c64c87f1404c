#!/usr/bin/env python3
"""Kills runs with SIGKILL at random moments, goes on with them, and compares what they end with byte for byte.

  isonorm-bench/compare/kill_and_resume.py [--times 20] [--kills 3] [--ranks 1] [--torchrun PROGRAM] [--seed 0] [key=value ...]

Each round trains one run and kills it up to --kills times; every file of its model and of its last checkpoint, and its losses, must be those of a run that was left alone. Of several
ranks a random one is killed. With --torchrun, the others are ended and all are started again by that program; else they must end by themselves, with code 1 and a line that says
why, and the same command is repeated. After each kill every checkpoint there is must be whole. Ends with 1 where something does not hold. Runs on Linux.
"""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from rounds import ISONORM, free_port, ranks_of, run

STEPS = 120
KEYS = ["model.width=64", "model.blocks=2", "model.heads=2", "batch=4", "sequence=64", f"steps={STEPS}", "log.every=1", "checkpoint.every=7", "checkpoint.keep=1000", "dropout=0.1"]
WAIT = 30  # seconds in which the ranks that are left must end
LONG = 600  # seconds that nothing takes


class Failed(Exception):
    """Something that does not hold."""


def contents(folder):
    """The bytes of each file in a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def reached(folder):
    """How many steps a run has taken; the last line may be half written."""
    metrics = folder / "metrics.jsonl"
    steps = [json.loads(line).get("step", 0) for line in metrics.read_text().splitlines()[-3:] if line.endswith("}")] if metrics.exists() else []
    return max(steps, default=0)


def step(folder):
    """How far a run has come: a number of steps, or what it does before the first one."""
    if not (folder / "config.yaml").exists():
        return "before the run began"
    return f"after {reached(folder)} steps" if reached(folder) else "before the first step"


def require_whole(folder):
    """Each checkpoint has all that it says it has."""
    for checkpoint in folder.glob("checkpoint-*"):
        state = checkpoint / "trainer.json"
        missing = {"trainer.json"} if not state.exists() else {name for name in json.loads(state.read_text())["sha256"] if "." in name} - {file.name for file in checkpoint.iterdir()}
        if missing:
            raise Failed(f"{checkpoint} has no {', '.join(sorted(missing))}")


def began(folder, ranks):
    """How often each rank has been in a group."""
    logs = [folder / f"rank-{rank}.log" for rank in range(ranks)]
    return [log.read_text().count(" began as rank ") if log.exists() else 0 for log in logs]


class OwnRanks:
    """Ranks that this program starts."""

    def __init__(self, command, ranks, folder, said):
        self.folder, self.said, self.before = folder, said, began(folder, ranks)
        launched = [{}] if ranks == 1 else ranks_of(ranks, "127.0.0.1", free_port())
        self.processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(f"{said}-{rank}", "w"), env=os.environ | launched[rank]) for rank in range(ranks)]

    def wait(self, seconds):
        """Whether all have ended within some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(process.poll() is None for process in self.processes):
            time.sleep(0.01)
        return all(process.poll() is not None for process in self.processes)

    def kill(self, rank):
        """Kills one, and gives the seconds after which the others had ended; nothing where they had not all met."""
        ranks = len(self.processes)
        met = ranks > 1 and all(now == before + 1 for now, before in zip(began(self.folder, ranks), self.before))
        self.processes[rank].send_signal(signal.SIGKILL)
        begin = time.monotonic()
        ended = self.wait(WAIT if met else 0)
        seconds = time.monotonic() - begin
        for process in self.processes:  # who waits for one that never comes; a launcher ends them too
            process.kill()
            process.wait()
        if met and not ended:
            raise Failed(f"not all ranks ended within {WAIT} s of the death of rank {rank}")
        others = [] if not met else [other for other in range(ranks) if other != rank and self.processes[other].returncode != 0]
        for other in others:
            lines = open(f"{self.said}-{other}").read().strip().splitlines()
            if self.processes[other].returncode != 1 or not lines or not lines[-1].startswith("isonorm: rank "):
                raise Failed(f"rank {other} ended with {self.processes[other].returncode} and {lines[-1:]}")
        return seconds if met else None

    def restarted(self):
        return False

    def code(self):
        return max(process.returncode for process in self.processes)


class TorchrunRanks:
    """Ranks that torchrun starts, and starts again."""

    def __init__(self, torchrun, command, ranks, kills, said):
        self.ranks = ranks
        self.launcher = subprocess.Popen([torchrun, "--no-python", "--standalone", "--nproc-per-node", str(ranks), "--max-restarts", str(kills), *command],
                                         stdout=subprocess.DEVNULL, stderr=open(said, "w"))
        self.started = {}
        self.restarted()

    def now(self):
        """The process of each rank."""
        found = {}
        for child in pathlib.Path(f"/proc/{self.launcher.pid}/task").glob("*/children"):
            for pid in child.read_text().split():
                try:
                    rank = dict(word.split("=", 1) for word in pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in word).get("RANK")
                except OSError:
                    continue
                if rank is not None:
                    found[int(rank)] = int(pid)
        return found

    def restarted(self):
        """Waits until all ranks are other processes than those of before; not so where torchrun has ended."""
        end = time.monotonic() + LONG
        while self.launcher.poll() is None:
            now = self.now()
            if len(now) == self.ranks and not set(now.values()) & set(self.started.values()):
                self.started = now
                return True
            if time.monotonic() > end:
                raise Failed("torchrun does not start the ranks again")
            time.sleep(0.02)
        return False

    def wait(self, seconds):
        try:
            self.launcher.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def kill(self, rank):
        with contextlib.suppress(ProcessLookupError):  # it ends just now
            os.kill(self.started[rank], signal.SIGKILL)

    def code(self):
        return self.launcher.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--torchrun", metavar="PROGRAM")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("keys", nargs="*")
    options = parser.parse_args()
    if options.torchrun and options.ranks < 2:
        parser.error("--torchrun starts ranks; add --ranks")
    chance = random.Random(options.seed)
    run([ISONORM, "--version"])  # builds, if need be
    folder = pathlib.Path(tempfile.mkdtemp(prefix="isonorm-kill-"))
    threads = ["threads=1"] if options.ranks > 1 else []

    def begin(out, number):
        command = [ISONORM, "train", *KEYS, *threads, *options.keys, f"out={out}", "-q"]
        if options.ranks == 1 and (out / "config.yaml").exists():
            command = [ISONORM, "train", "--resume", str(out)]
        elif options.ranks == 1:
            shutil.rmtree(out, ignore_errors=True)
        said = folder / f"{out.name}-said-{number}"
        return TorchrunRanks(options.torchrun, command, options.ranks, options.kills, said) if options.torchrun else OwnRanks(command, options.ranks, out, said)

    alone = folder / "alone"
    began_at = time.monotonic()
    undisturbed = begin(alone, 0)
    if not undisturbed.wait(LONG) or undisturbed.code() != 0:
        sys.exit(f"the run that is left alone ended with {undisturbed.code()}: {folder}")
    usual = time.monotonic() - began_at
    print(f"left alone: {usual:.1f} s", flush=True)
    expected = (contents(alone / "model"), contents(sorted(alone.glob("checkpoint-*"))[-1]), losses(alone))

    def ended_before(group, out):
        """Waits for a random moment, a third of them in what comes before the first step; whether the run has ended before."""
        if chance.random() < 1 / 3:
            return group.wait(chance.uniform(0, usual / 2))
        target = chance.randrange(reached(out), STEPS + 1)
        while reached(out) < target:
            if group.wait(0.01):
                return True
        return group.wait(chance.uniform(0, 0.1))

    def round_of(out):
        """What was killed, and after how many seconds the others had ended."""
        kills, times = [], []
        group = begin(out, 0)
        while len(kills) < options.kills and not ended_before(group, out):
            rank, where = chance.randrange(options.ranks), step(out)
            times.append(group.kill(rank))
            kills.append((rank, where))
            if out.exists():
                require_whole(out)
            if not group.restarted() and not options.torchrun:
                group = begin(out, len(kills))
        if not group.wait(LONG):
            raise Failed("the run does not end")
        if group.code() != 0:
            raise Failed(f"the run ended with {group.code()}")
        require_whole(out)
        found = (contents(out / "model"), contents(sorted(out.glob("checkpoint-*"))[-1]), losses(out))
        for what, one, other in zip(("model", "last checkpoint", "losses"), expected, found):
            if one != other:
                differing = sorted(str(name) for name in one.keys() | other.keys() if one.get(name) != other.get(name)) if isinstance(one, dict) else ""
                raise Failed(f"another {what} {differing}")
        return kills, [each for each in times if each is not None]

    same, moments, times = 0, collections.Counter(), []
    for number in range(options.times):
        out = folder / f"killed-{number}"
        try:
            kills, seconds = round_of(out)
        except Failed as e:
            print(f"round {number + 1}: {e}; {folder} is kept", flush=True)
            continue
        same += 1
        times += seconds
        moments.update("in the midst of steps" if where.startswith("after") else where for _, where in kills)
        print(f"round {number + 1}: the same; killed " + (", ".join(f"rank {rank} {where}" for rank, where in kills) or "nothing"), flush=True)
        shutil.rmtree(out)
    print(f"{same} of {options.times} the same; kills: " + ", ".join(f"{count} {where}" for where, count in sorted(moments.items())))
    if times:
        print(f"the others had ended after {sorted(times)[len(times) // 2]:.1f} s, {max(times):.1f} s at most, in {len(times)} of them")
    if same != options.times:
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
