#!/usr/bin/env python3
"""How long a step of training takes where ranks speak over a network, beside what a model of it says.

  isonorm-bench/compare/compare_networks.py [--ranks 2] [--rates none,10gbit,1gbit] [--batches 8,32] [--steps 5] [--warmup 5]

Each rank is `isonorm bench train` with one thread in a network namespace of its own, on the processors that taskset gives it; the namespaces are joined by veth pairs and a bridge, and each
one's sending is held to a rate by `tc qdisc ... tbf`. Needs root and Linux. A delay would need netem, which not every kernel has: --delay 0.2ms asks for it, and ends where there is none.

The model is `compute + exposed communication`. Compute is the step where sending is not limited, less what it waited. Communication: gradients are added up in a ring, bucket by bucket as the
backward pass of a block ends, weights are gathered in a ring behind them; a bucket of so many bytes takes `2 (n - 1) / n * bytes / rate` and `(n - 1) / n * bytes / rate`; the rate is that of a
TCP stream between two of the namespaces. Nothing else of the network is fitted. The share that is hidden is that of the gradients' time on the network in which the step did not wait.
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys

from rounds import ISONORM, Table, ranks_of, run, together

VOCABULARY, LENGTH, WIDTH, BLOCKS = 4096, 256, 384, 6  # bench train's own
BUCKET = 16 << 20
BRIDGE, NAME = "isonorm-br", "isonorm-ns"
PORT = 29400  # of namespaces that nobody else is in
STREAM = 256 << 20  # bytes by which a rate is measured


def quietly(*command):
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def network(ranks, rate, delay):
    """So many namespaces, 10.77.0.1 and so on, each with its sending limited."""
    def away():
        for rank in range(ranks):
            quietly("ip", "netns", "del", f"{NAME}{rank}")
        quietly("ip", "link", "del", BRIDGE)

    away()
    try:
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
        run(["ip", "link", "set", BRIDGE, "up"])
        for rank in range(ranks):
            space, outside = f"{NAME}{rank}", f"isonorm-v{rank}"
            inside = ["ip", "netns", "exec", space]
            run(["ip", "netns", "add", space])
            run(["ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space])
            run(["ip", "link", "set", outside, "master", BRIDGE, "up"])
            run([*inside, "ip", "link", "set", "lo", "up"])
            run([*inside, "ip", "addr", "add", f"10.77.0.{rank + 1}/24", "dev", "eth0"])
            run([*inside, "ip", "link", "set", "eth0", "up"])
            if rate != "none":
                run([*inside, "tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "tbf", "rate", rate, "burst", "512kb", "latency", "20ms"])
            if delay:
                run([*inside, "tc", "qdisc", "add", "dev", "eth0", *(["parent", "1:1"] if rate != "none" else ["root"]), "netem", "delay", delay])
        yield
    finally:
        away()


RECEIVE = f"""
import socket
s = socket.create_server(("10.77.0.2", 7777)); print("ready", flush=True); c = s.accept()[0]; left = {STREAM}
while left: left -= len(c.recv(1 << 20))
c.sendall(b"x")
"""
SEND = f"""
import socket, time
c = socket.create_connection(("10.77.0.2", 7777)); b = bytes(1 << 20); begin = time.monotonic()
for _ in range({STREAM} >> 20): c.sendall(b)
c.recv(1); print({STREAM} / (time.monotonic() - begin))
"""


def bytes_a_second():
    """What a TCP stream from one namespace to another brings."""
    receiver = subprocess.Popen(["ip", "netns", "exec", f"{NAME}1", sys.executable, "-c", RECEIVE], stdout=subprocess.PIPE, text=True)
    receiver.stdout.readline()
    try:
        return float(run(["ip", "netns", "exec", f"{NAME}0", sys.executable, "-c", SEND]))
    finally:
        receiver.kill()
        receiver.wait()


def step(ranks, batch, options):
    """What rank 0 measured."""
    words = [ISONORM, "bench", "train", "--dtype", "f32", "--batch", str(batch), "--threads", "1", "--steps", str(options.steps), "--warmup", str(options.warmup), "--json", "--quiet"]
    processors = sorted(os.sched_getaffinity(0))
    printed = together([(["ip", "netns", "exec", f"{NAME}{rank}", "taskset", "-c", str(processors[rank % len(processors)]), *words], told)
                        for rank, told in enumerate(ranks_of(ranks, "10.77.0.1", PORT))])
    return json.loads(printed.strip().splitlines()[-1])


def communication(ranks, rate, compute):
    """Seconds in which the network sends gradients, those in which a step waits for them, and in which it waits for weights."""
    block = 12 * WIDTH * WIDTH  # values
    matrices = [block] * (BLOCKS - 1) + [block + VOCABULARY * WIDTH]  # the head's gradient is complete with that of the last block
    rest = VOCABULARY * WIDTH + LENGTH * WIDTH + BLOCKS * 13 * WIDTH + VOCABULARY  # tables and vectors go last
    ring = (ranks - 1) / ranks / rate
    now = compute / 3  # the forward pass
    free = now  # when the network has sent what it was given
    complete = 0
    for number in reversed(range(BLOCKS)):
        now += compute * 2 / 3 * matrices[number] / sum(matrices)
        begins = -(-4 * sum(matrices[:number]) // BUCKET) * BUCKET // 4  # buckets that lie in this block and those behind it
        free = max(free, now) + 2 * ring * 4 * (sum(matrices) - begins - complete)
        complete = sum(matrices) - begins
    free += 2 * ring * 4 * rest
    values = sum(matrices) + rest
    return 2 * ring * 4 * values, free - now, ring * 4 * values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rates", default="none,10gbit,1gbit")
    parser.add_argument("--delay", default="")
    parser.add_argument("--batches", default="8,32")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=5)
    options = parser.parse_args()
    rates = options.rates.split(",")
    if rates[0] != "none":
        parser.error("--rates must begin with none, of which the model takes what is computed")
    run([ISONORM, "--version"])  # builds, if need be
    table = Table("| ranks | sequences a step | rate | of it measured, Mbit/s | seconds a step | of them waited | for gradients | model | measured / model | gradients hidden |",
                  "|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|")
    compute = {}
    for rate in rates:
        with network(options.ranks, rate, options.delay):
            measured = bytes_a_second()
            for batch in map(int, options.batches.split(",")):
                seen = step(options.ranks, batch, options)
                table.begin(seen["machine"])
                if rate == "none":
                    compute[batch] = seen["median_s"] - seen["waited_s"]
                sent, gradients, weights = communication(options.ranks, measured, compute[batch])
                model = compute[batch] + gradients + weights
                told = ("", "", "") if rate == "none" else (f"{model:.3f}", f"{seen['median_s'] / model:.2f}", f"{100 * (1 - seen['waited_for_gradients_s'] / sent):.0f} %")
                print(f"| {options.ranks} | {batch} | {rate} | {measured * 8e-6:.0f} | {seen['median_s']:.3f} | {seen['waited_s']:.3f} | {seen['waited_for_gradients_s']:.3f} | "
                      + " | ".join(told) + " |", flush=True)


if __name__ == "__main__":
    main()
