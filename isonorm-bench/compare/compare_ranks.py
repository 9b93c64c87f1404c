#!/usr/bin/env python3
"""How long a step of training takes in two processes of one thread each, beside one process of two threads and beside PyTorch's DistributedDataParallel.

  isonorm-bench/compare/compare_ranks.py [PEERS PYTHON] [--dtypes f32,bf16] [--arch gpt] [--rounds 3] [--steps 12] [--ranks 2]

Runs `isonorm bench train` alone and as so many ranks that speak through gloo on the loopback interface, and, with PEERS, the folder with train_gpt.py, and PYTHON, an interpreter
that has torch, that program's model in DistributedDataParallel with gloo, in turn; each round begins with another. The batch is the same in all, shared out by the ranks. Prints
medians over rounds with their quartiles: seconds a step, of them those in which rank 0 waited for the others, its peak memory, and ratios paired by round; below 1, the ranks are faster.
"""
import argparse
import json
import statistics
import sys

from rounds import ISONORM, Table, free_port, ranks_of, run, spread, together

BATCH = 8  # sequences a step

# The peer's own program, with its model wrapped and a batch of the rank's rows.
WRAPPED = """
import sys, torch
torch.distributed.init_process_group("gloo")
source = open(sys.argv[1] + "/train_gpt.py").read()
assert "m = Model();" in source, "train_gpt.py has another shape"
del sys.argv[0]
exec(compile(source.replace("m = Model();", "m = torch.nn.parallel.DistributedDataParallel(Model());"), "train_gpt.py", "exec"))
"""


def ranks(count, command):
    """What rank 0 of a group prints."""
    return together([(command, rank | {"OMP_NUM_THREADS": "1"}) for rank in ranks_of(count, "127.0.0.1", free_port())])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="?")
    parser.add_argument("python", nargs="?")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--arch", default="gpt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--ranks", type=int, default=2)
    options = parser.parse_args()
    if options.peers and not options.python:
        parser.error("PEERS needs PYTHON behind it")
    if not 1 < options.ranks <= BATCH or BATCH % options.ranks:
        parser.error(f"--ranks must share {BATCH} sequences out evenly, got {options.ranks}")
    run([ISONORM, "--version"])  # builds, if need be
    table = Table("| type | what | seconds a step | of them waited | peak memory, MiB | compared with | ratio |", "|---|---|--:|--:|--:|---|--:|")
    for dtype in options.dtypes.split(","):
        sizes = ["--arch", options.arch, "--dtype", dtype, "--steps", str(options.steps)]
        alone = [ISONORM, "bench", "train", *sizes, "--batch", str(BATCH), "--json", "--quiet"]
        programs = {"one process": lambda: run([*alone, "--threads", str(options.ranks)]), "ranks": lambda: ranks(options.ranks, [*alone, "--threads", "1"])}
        if options.peers:
            programs["DDP"] = lambda: ranks(options.ranks, [options.python, "-c", WRAPPED, options.peers, *sizes, "--batch", str(BATCH // options.ranks), "--threads", "1"])
        names, results = list(programs), {name: [] for name in programs}
        for i in range(options.rounds):
            for name in names[i % len(names):] + names[:i % len(names)]:
                print(f"{dtype}, round {i + 1} of {options.rounds}: {name}", file=sys.stderr, flush=True)
                results[name].append(json.loads(programs[name]().strip().splitlines()[-1]))
        table.begin(results["one process"][0]["machine"])
        for name in names:
            each = results[name]
            others = [other for other in names if name == "ranks" and other != name] or [""]
            for other in others:
                ratio = spread([a["median_s"] / b["median_s"] for a, b in zip(each, results[other])], 3) if other else ""
                waited = spread([a["waited_s"] for a in each], 3) if all("waited_s" in a for a in each) else ""
                print(f"| {dtype} | {name} | {spread([a['median_s'] for a in each], 3)} | {waited} | {round(statistics.median(a['peak_mib'] for a in each))} | {other} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
