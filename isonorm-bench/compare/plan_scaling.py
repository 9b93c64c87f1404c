#!/usr/bin/env python3
"""The tables of docs/scaling.md: what a step of training would take on many machines, by the formulas that stand there. Nothing is measured here.

  isonorm-bench/compare/plan_scaling.py [--tokens 524288] [--length 1024] [--vocabulary 32000] [--tflops 8] [--delay 1e-4]
"""
import argparse

# name: width, blocks, width of the MLP, matrices of the MLP, tables of words; the last one is no preset
SHAPES = {"llama-60m": (512, 8, 1376, 3, 2), "llama-130m": (768, 12, 2048, 3, 2), "llama-350m": (1024, 24, 2736, 3, 2), "llama-1b": (2048, 24, 5461, 3, 2), "gpt3-2.7b": (2560, 32, 10240, 2, 1),
          "Llama's 7B": (4096, 32, 11008, 3, 2)}
MACHINES = (8, 64, 256, 1024)
BUCKET = 16 * 2**20
GRADIENT, WEIGHT, COMPUTED, MOMENTS = 4, 4, 2, 8  # bytes a parameter: float32, and bfloat16 that is computed with


def parameters(shape, vocabulary):
    width, blocks, hidden, matrices, tables = shape
    return blocks * (4 * width * width + matrices * width * hidden) + tables * vocabulary * width


def seconds(shape, machines, gbit, options):
    """Compute, what is exposed of gradients, weights."""
    width, blocks = shape[:2]
    count = parameters(shape, options.vocabulary)
    operations = (6 * count + 6 * blocks * width * options.length) * options.tokens / machines
    compute = operations / (options.tflops * 1e12)
    rate = gbit * 1e9 / 8
    buckets = -(-GRADIENT * count // BUCKET)
    gradients = 2 * (machines - 1) * (GRADIENT * count / machines / rate + buckets * options.delay)
    weights = (machines - 1) * (COMPUTED * count / machines / rate + buckets * options.delay)
    exposed = max(gradients - 2 / 3 * compute, gradients / buckets)
    return compute, exposed, weights


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=524288)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--tflops", type=float, default=8)
    parser.add_argument("--delay", type=float, default=1e-4)
    options = parser.parse_args()
    print("| model | parameters | GB a machine, 1 | " + " | ".join(map(str, MACHINES)) + " |")
    print("|---|--:|--:|" + "--:|" * len(MACHINES))
    for name, shape in SHAPES.items():
        count = parameters(shape, options.vocabulary)
        memory = [(GRADIENT + WEIGHT + COMPUTED + MOMENTS / machines) * count / 1e9 for machines in (1, *MACHINES)]
        print(f"| {name} | {count / 1e6:,.0f}M | " + " | ".join(f"{each:.1f}" for each in memory) + " |")
    for gbit in (10, 100):
        print(f"\n| {gbit} Gbit/s, seconds a step (efficiency) | " + " | ".join(map(str, MACHINES)) + " |")
        print("|---|" + "--:|" * len(MACHINES))
        for name, shape in SHAPES.items():
            cells = []
            for machines in MACHINES:
                compute, exposed, weights = seconds(shape, machines, gbit, options)
                refused = options.tokens // options.length < machines
                step = compute + exposed + weights
                cells.append("no row for each" if refused else f"{step:,.{0 if step >= 10 else 2}f} ({100 * compute / step:.0f} %)")
            print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
