#!/usr/bin/env python3
"""What norms cost here and in PyTorch: runs `isonorm bench norms` and the peer script vit_norms.py in turn.

  isonorm-bench/compare/compare_norms.py PEERS PYTHON [--sizes Ti,S,B,L] [--batches 1,8] [--dtypes f32,bf16]
                                         [--modes eager,compile] [--rounds 5] [--runs 15] [--threads 2]

PEERS is the folder with vit_norms.py, PYTHON an interpreter that has torch. Each round starts each program once, in turn, first one and then
the other in front; inside, each times its forms in turn, RUNS times. A ratio is the median over rounds, with its quartiles; "isonorm / PyTorch"
is paired by round. Prints a line about the machine and a Markdown table to stdout, and what it is doing to stderr.
"""
import argparse
import json
import os
import statistics
import sys

from rounds import ISONORM, Table, run, spread

FORMS = {"none": "none", "pre-ln": "ln", "pre-rmsnorm": "rms", "pre-crmsnorm": "crms"}


def ours(options, table, size, batch, dtype):
    rows = json.loads(run([
        ISONORM, "bench", "norms", "--quiet", "--json", "--model", "vit-" + size.lower(), "--batch", batch,
        "--dtype", dtype, "--runs", str(options.runs), "--threads", str(options.threads)]))
    table.begin(rows[0]["machine"])
    return {row["form"]: (row["median_ms"], row["ratio_to_pre_ln"]) for row in rows}


def theirs(options, size, batch, dtype, mode):
    result = json.loads(run([
        options.python, os.path.join(options.peers, "vit_norms.py"), "--size", size, "--batch", batch, "--dtype", dtype, "--mode", mode,
        "--runs", str(options.runs), "--threads", str(options.threads)]).strip().splitlines()[-1])
    return {form: (result["ms"][name], result["ratio_to_ln"][name]) for form, name in FORMS.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers")
    parser.add_argument("python")
    parser.add_argument("--sizes", default="Ti,S,B")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--modes", default="eager")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    run([ISONORM, "--version"])  # builds, if need be
    table = Table("| model | batch | type | form | isonorm ms | to its Pre-LN | PyTorch | ms | to its LayerNorm | isonorm / PyTorch |",
                  "|---|--:|---|---|--:|--:|---|--:|--:|--:|")
    for size in options.sizes.split(","):
        for batch in options.batches.split(","):
            for dtype in options.dtypes.split(","):
                modes = options.modes.split(",")
                programs = {"isonorm": lambda: ours(options, table, size, batch, dtype)}
                programs.update({mode: lambda mode=mode: theirs(options, size, batch, dtype, mode) for mode in modes})
                rounds = []
                for number in range(options.rounds):
                    print(f"vit-{size.lower()}, batch {batch}, {dtype}: round {number + 1} of {options.rounds}", file=sys.stderr)
                    order = list(programs) if number % 2 == 0 else list(programs)[::-1]
                    rounds.append({name: programs[name]() for name in order})
                for mode in modes:
                    for form in FORMS:
                        us = [each["isonorm"][form] for each in rounds]
                        them = [each[mode][form] for each in rounds]
                        print("| " + " | ".join([
                            "vit-" + size.lower(), batch, dtype, f"`{form}`", f"{statistics.median(t for t, _ in us):.2f}", spread([r for _, r in us], 3),
                            mode, f"{statistics.median(t for t, _ in them):.2f}", spread([r for _, r in them], 3),
                            spread([a[0] / b[0] for a, b in zip(us, them)], 3)]) + " |", flush=True)


if __name__ == "__main__":
    main()
