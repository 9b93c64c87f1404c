#!/usr/bin/env python3
"""How long a step of training takes here and in PyTorch: runs `isonorm bench train` and train_gpt.py in turn.

  isonorm-bench/compare/compare_train.py PEERS PYTHON [--archs gpt,llama] [--dtypes f32,bf16] [--modes eager,compile]
                                         [--norms ln,rms,crms,rms-equivalent] [--rounds 3] [--steps 12] [--threads 2]

PEERS is the folder with train_gpt.py, PYTHON an interpreter that has torch. Each round starts each program once, in turn, first one
and then the other in front. The first of --norms is also what the peer trains and what the others are compared with; a peer's time is the
better of its modes, of each round. Ratios are medians over rounds with their quartiles, paired by round; below 1, Isonorm, or the other
norm, is faster. Prints a line about the machine and a Markdown table to stdout, and what it is doing to stderr.
"""
import argparse
import json
import os
import statistics
import sys

from rounds import ISONORM, Table, run, spread


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers")
    parser.add_argument("python")
    parser.add_argument("--archs", default="gpt,llama")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--modes", default="eager,compile")
    parser.add_argument("--norms", default="ln,rms,crms,rms-equivalent")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    run([ISONORM, "--version"])  # builds, if need be
    norms = options.norms.split(",")
    modes = [mode for mode in options.modes.split(",") if mode]
    table = Table("| model | type | what | seconds a step | compared with | ratio |",
                  "|---|---|---|--:|--:|--:|")
    for arch in options.archs.split(","):
        for dtype in options.dtypes.split(","):
            sizes = ["--arch", arch, "--dtype", dtype, "--steps", str(options.steps), "--threads", str(options.threads)]
            programs = {norm: [ISONORM, "bench", "train", "--quiet", "--norm", norm, *sizes] for norm in norms}
            for mode in modes:
                programs[mode] = [options.python, os.path.join(options.peers, "train_gpt.py"), "--mode", mode, "--norm",
                                  "ln" if norms[0] == "ln" else "rms", *sizes]
            rounds = []
            for number in range(options.rounds):
                print(f"{arch}, {dtype}: round {number + 1} of {options.rounds}", file=sys.stderr)
                order = list(programs) if number % 2 == 0 else list(programs)[::-1]
                rounds.append({name: json.loads(run(programs[name]).strip().splitlines()[-1]) for name in order})
            table.begin(rounds[0][norms[0]]["machine"])

            def row(what, ours, theirs, digits):
                print("| " + " | ".join([arch, dtype, what, f"{statistics.median(ours):.{digits}f}", f"{statistics.median(theirs):.{digits}f}",
                                          spread([a / b for a, b in zip(ours, theirs)], 3)]) + " |", flush=True)

            first = [each[norms[0]]["median_s"] for each in rounds]
            if modes:
                row(f"{norms[0]}, against PyTorch", first, [min(each[mode]["median_s"] for mode in modes) for each in rounds], 3)
                row("peak memory, MiB", [each[norms[0]]["peak_mib"] for each in rounds],
                    [min(each[mode]["peak_mib"] for mode in modes) for each in rounds], 0)
            for norm in norms[1:]:
                row(f"{norm}, against {norms[0]}", [each[norm]["median_s"] for each in rounds], first, 3)


if __name__ == "__main__":
    main()
