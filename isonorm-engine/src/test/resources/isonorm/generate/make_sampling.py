#!/usr/bin/env python3
"""Write sampling.json beside this script: what Hugging Face transformers makes of logits before it draws.

Each case has logits, the ids seen so far, the settings, and the probabilities that `generate` would draw with: those of the
processors that a model's own `_get_logits_processor` puts together, in its order. The logits are multiples of an eighth, so that
many are equal. Left out is a top-p that sums of the probabilities come near to, where rounding decides, and one that parts equal
logits, which torch.sort puts in any order.

Made with torch 2.13 and transformers 5.18.
"""
import json
import os

import torch
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

VOCABULARY, CASES = 40, 80
torch.manual_seed(7)
model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=8, n_layer=1, n_head=1, n_positions=32,
                                   bos_token_id=0, eos_token_id=0))


def pick(*choices):
    return choices[int(torch.randint(len(choices), ()))]


def probabilities(logits, seen, settings):
    config = GenerationConfig(do_sample=True, **settings)
    config._eos_token_tensor = None
    processors = model._get_logits_processor(config, input_ids_seq_length=len(seen), device="cpu")
    ids = torch.tensor([seen])
    return processors, torch.softmax(processors(ids, torch.tensor([logits]).clone())[0].double(), -1)


def hangs_on_order(logits, seen, settings):
    """Whether rounding or the order of equal logits decides what top-p keeps."""
    _, before = probabilities(logits, seen, dict(settings, top_p=1.0, min_p=None))
    _, after = probabilities(logits, seen, dict(settings, min_p=None))
    sums = before.sort(descending=True).values.cumsum(-1)
    near = ((sums - settings["top_p"]).abs() < 1e-4).any()
    return settings["top_p"] < 1 and bool(near | (before[(after == 0) & (before > 0)].unsqueeze(1) == before[after > 0]).any())


cases = []
while len(cases) < CASES:
    logits = (torch.randn(VOCABULARY) * pick(0.5, 2, 6) * 8).round().div(8)
    logits[int(torch.randint(VOCABULARY, ()))] = pick(0.0, -0.0, float(logits.max()))
    seen = torch.randint(VOCABULARY, (pick(1, 5, 20),)).tolist()
    settings = dict(temperature=pick(1.0, 0.3, 0.7, 2.5), top_k=pick(0, 0, 1, 3, 10, 39, 40, 100), top_p=pick(1.0, 1.0, 0.02, 0.5, 0.9, 0.99),
                    min_p=pick(None, None, 0.05, 0.3, 0.9), repetition_penalty=pick(1.0, 1.3, 3.0, 0.8))
    if hangs_on_order(logits.tolist(), seen, settings):
        continue
    _, expected = probabilities(logits.tolist(), seen, settings)
    settings["min_p"] = settings["min_p"] or 0
    cases.append(dict(settings, logits=logits.tolist(), seen=seen, probabilities=[float(f"{p:.9g}") for p in expected.tolist()]))

processors, _ = probabilities([0.0] * VOCABULARY, [1],
                              dict(temperature=0.5, top_k=3, top_p=0.5, min_p=0.5, repetition_penalty=2.0))
print(*(type(processor).__name__ for processor in processors), sep="\n")
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sampling.json"), "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
