#!/usr/bin/env python3
"""How fast transformers writes several texts at once: compare_batching.py CHECKPOINT f32|bf16 [--requests 32] [--prompt 128] [--tokens 64] [--rounds 2] [--threads 2]

The load of load_server.py, in one process and without HTTP: generate of one row and of a batch of all (which come and end together), then its continuous batching
(generate_batch on paged attention, whose cache is given its size, since it finds none out on a processor). Prints tokens generated a second, the prompts' time included.
"""
import argparse
import random
import time

import torch
import transformers
import transformers.generation.continuous_batching.cache as cache
from transformers.generation.configuration_utils import ContinuousBatchingConfig

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("checkpoint"); p.add_argument("dtype", choices=["f32", "bf16"]); p.add_argument("--requests", type=int, default=32)
p.add_argument("--prompt", type=int, default=128); p.add_argument("--tokens", type=int, default=64); p.add_argument("--rounds", type=int, default=2)
p.add_argument("--threads", type=int, default=2)
a = p.parse_args()
transformers.logging.set_verbosity_error()
torch.set_num_threads(a.threads)
# On a processor it asks psutil how much memory there is.
cache.get_device_and_memory_breakdown = lambda: (torch.device("cpu"), 16 << 30, 1 << 30, 1 << 30)
rnd = random.Random(1)
greedy = transformers.GenerationConfig(max_new_tokens=a.tokens, min_new_tokens=a.tokens, do_sample=False, eos_token_id=None, pad_token_id=0)


def load(attention):
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[a.dtype]
    return transformers.AutoModelForCausalLM.from_pretrained(a.checkpoint, dtype=kind, attn_implementation=attention).eval()


def prompts(count):
    return [[rnd.randrange(1000) for _ in range(a.prompt)] for _ in range(count)]


def rows(model, count):
    ids = torch.tensor(prompts(count))
    begin = time.time()
    out = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=greedy)
    assert out.shape[1] == a.prompt + a.tokens
    return count * a.tokens / (time.time() - begin)


def continuous(model, count):
    blocks = 2 * count * (-(-(a.prompt + a.tokens) // 64) + 1)
    config = ContinuousBatchingConfig(page_size=64, num_blocks=blocks, max_batch_tokens=512, max_requests_per_batch=2 * count)
    begin = time.time()
    out = model.generate_batch(prompts(count), generation_config=greedy, progress_bar=False, warmup=False, continuous_batching_config=config)
    assert len(out) == count and all(len(each.generated_tokens) == a.tokens for each in out.values())
    return count * a.tokens / (time.time() - begin)


with torch.inference_mode():
    model = load("sdpa")
    rows(model, 1)
    for r in range(a.rounds):
        print(f"{a.dtype}, generate: one row {rows(model, 1):.1f} tokens/s, a batch of {a.requests} {rows(model, a.requests):.1f}", flush=True)
    model = load("paged|sdpa")
    for r in range(a.rounds):
        print(f"{a.dtype}, continuous batching: {a.requests} requests {continuous(model, a.requests):.1f} tokens/s", flush=True)
