#!/usr/bin/env python3
"""How fast checkpoints are read and continued here and in Hugging Face transformers: runs `isonorm bench generate` and generate.py in turn.

  isonorm-bench/compare/compare_generate.py PEERS PYTHON CHECKPOINT... [--dtypes f32,bf16] [--prompt 512] [--tokens 64]
                                            [--rounds 15] [--threads 2]

PEERS is the folder with generate.py, PYTHON an interpreter that has torch and transformers, each CHECKPOINT a folder that both read
(isonorm-bench/run MakeCheckpoint writes some). Each round starts each program once, in turn, first one and then the other in front. A ratio
is the median over rounds, with its quartiles, paired by round; above 1, Isonorm is faster, but for memory, where below 1 is less. The
peer computes the logits behind every token of a prompt, and its memory has room for them: "prefill, all logits" is the same work, "prefill" is
what continuing a prompt takes, and ours the memory of that.
Prints a line about the machine and a Markdown table to stdout, and what it is doing to stderr.
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
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    run([ISONORM, "--version"])  # builds, if need be
    table = Table("| checkpoint | type | what | isonorm | transformers | ratio |",
                  "|---|---|---|--:|--:|--:|")
    for checkpoint in options.checkpoints:
        for dtype in options.dtypes.split(","):
            sizes = ["--dtype", dtype, "--prompt", str(options.prompt), "--tokens", str(options.tokens), "--threads", str(options.threads)]
            programs = {
                "us": [ISONORM, "bench", "generate", checkpoint, "--quiet", *sizes],
                "them": [options.python, os.path.join(options.peers, "generate.py"), checkpoint, *sizes],
            }
            rounds = []
            for number in range(options.rounds):
                print(f"{checkpoint}, {dtype}: round {number + 1} of {options.rounds}", file=sys.stderr)
                order = list(programs) if number % 2 == 0 else list(programs)[::-1]
                rounds.append({name: json.loads(run(programs[name]).strip().splitlines()[-1]) for name in order})
            table.begin(rounds[0]["us"]["machine"])
            name = os.path.basename(os.path.normpath(checkpoint))
            for what, our, their in [
                ("prefill, tokens/s", "prefill_tokens_per_s", "prefill_tokens_per_s"),
                ("prefill, all logits, tokens/s", "prefill_all_logits_tokens_per_s", "prefill_tokens_per_s"),
                ("decode, tokens/s", "decode_tokens_per_s", "decode_tokens_per_s"),
                ("peak memory, MiB", "peak_mib", "peak_mib"),
            ]:
                pairs = [(each["us"][our], each["them"][their]) for each in rounds if each["us"][our] is not None]
                if pairs:
                    print("| " + " | ".join([
                        name, dtype, what, f"{statistics.median(a for a, _ in pairs):.1f}", f"{statistics.median(b for _, b in pairs):.1f}",
                        spread([a / b for a, b in pairs], 2)]) + " |", flush=True)
            shares = [each["us"]["bandwidth_share"] for each in rounds]
            print("| " + " | ".join([name, dtype, "decode, part of the read bandwidth", spread(shares, 2), "", ""]) + " |", flush=True)


if __name__ == "__main__":
    main()
