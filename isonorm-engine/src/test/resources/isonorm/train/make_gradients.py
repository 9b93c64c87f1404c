#!/usr/bin/env python3
"""Write tiny models beside this script, each with PyTorch's losses and the gradients of all of its parameters.

    make_gradients.py [--out DIR] [--seed N]

Every model becomes a folder:

    config.json, model.safetensors   a checkpoint in its family's format, in float32
    losses.json                      for each loss the tokens, the labels (-100: nothing is asked) and the mean over what is asked
    gradient-N.safetensors           loss N's gradient, in float64, under the parameters' names: read in place of
                                     model.safetensors, it is a checkpoint of the family whose weights are the gradient

Weights are roughened and computed with as in isonorm-core's make_fixtures.py: every step of there and back is float64, on copies of
the stored weights. Transformers' classes compute all; LayerNorm Scaling and Mix-LN are the few lines here that change their blocks.
A Gemma's norms multiply by 1 + weight, and one is added where the weight is read: one less than the gradient is stored for them.

Made with torch 2.13.0, transformers 5.18.0, safetensors 0.8.0.
"""
import argparse
import json
import math
import os
import shutil
import sys

import torch
import transformers as tf
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, *[".."] * 6, "isonorm-core", "src", "test", "resources", "fixtures"))
from make_fixtures import UNIT_OFFSET, ReallyFloat64, reference, roughen  # noqa: E402

VOCAB, WIDTH, HEADS, POSITIONS, MLP = 17, 16, 4, 10, 12
SOME = 3                 # losses of a variant
IGNORED = -100
GPT = dict(vocab_size=VOCAB, n_embd=WIDTH, n_head=HEADS, n_positions=POSITIONS, n_inner=MLP,
           resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)
GATE = dict(vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=HEADS, num_key_value_heads=2,
            intermediate_size=MLP, max_position_embeddings=POSITIONS)


# ---------------------------------------------------------------- strategies
def lns(model):
    """LayerNorm Scaling (arXiv 2502.05795): what a norm of block l, from 1, gives is divided by sqrt(l)."""
    for l, block in enumerate(model.model.layers, 1):
        for norm in (block.input_layernorm, block.post_attention_layernorm):
            norm.register_forward_hook(lambda _, __, output, l=l: output / math.sqrt(l))


def mix_ln(model):
    """Mix-LN (arXiv 2412.13795): the first quarter of the blocks is Post-LN."""
    blocks = model.transformer.h
    for block in blocks[:len(blocks) // 4]:
        def forward(h, past, mask, *_, block=block, **__):
            h = block.ln_1(h + block.attn(h, attention_mask=mask)[0])
            return block.ln_2(h + block.mlp(h))
        block.forward = forward


# folder: (model class, config class, config keywords, what is changed)
MODELS = {
    "pre-ln": ("GPT2LMHeadModel", "GPT2Config", dict(GPT, n_layer=2), None),
    "pre-rmsnorm": ("LlamaForCausalLM", "LlamaConfig", dict(GATE, tie_word_embeddings=False), None),
    "lns": ("LlamaForCausalLM", "LlamaConfig", dict(GATE, tie_word_embeddings=False), lns),
    "peri-ln": ("Gemma2ForCausalLM", "Gemma2Config",
                dict(GATE, hidden_size=20, head_dim=4, query_pre_attn_scalar=6, sliding_window=4, bos_token_id=0,
                     eos_token_id=0, pad_token_id=None), None),  # a token of padding would have no gradient
    "mix-ln": ("GPT2LMHeadModel", "GPT2Config", dict(GPT, n_layer=4), mix_ln),
}


# ---------------------------------------------------------------- losses
def batches(gen):
    """Tokens and labels, ten times another pattern."""
    draw = lambda *shape: torch.randint(VOCAB, shape, generator=gen)
    pairs = [(draw(rows, length), draw(rows, length)) for rows, length in
             ((3, 7), (3, 8), (2, 6), (4, 5), (1, POSITIONS), (2, 1), (3, 6), (3, 6), (2, 7), (2, POSITIONS))]
    labels = [labels for _, labels in pairs]
    labels[1][torch.rand(labels[1].shape, generator=gen) < 0.4] = IGNORED      # here and there
    labels[2][0, :3] = IGNORED                                                 # a prompt with its completion,
    labels[2][1, 4:] = IGNORED                                                 # and padding behind one
    labels[3][1] = IGNORED                                                     # a row of which nothing is asked
    labels[6][:, :-1] = IGNORED                                                # the last token alone
    pairs[7][0][:] = 5                                                         # one token everywhere
    labels[8][:] = pairs[8][0]                                                 # each its own label
    labels[9][1, 1:] = IGNORED                                                 # almost all of a row is padding
    return pairs


# ---------------------------------------------------------------- one model
def make(name, out, seed):
    cls_name, cfg_name, keywords, change = MODELS[name]
    cls = getattr(tf, cls_name)
    gen = torch.Generator().manual_seed(seed)
    config = lambda: getattr(tf, cfg_name)(**keywords, attn_implementation="eager")
    path = os.path.join(out, name)
    shutil.rmtree(path, ignore_errors=True)
    model = cls(config()).eval()
    roughen(model, gen)
    model.float().save_pretrained(path)
    for other in os.listdir(path):
        if other not in ("config.json", "model.safetensors"):
            os.remove(os.path.join(path, other))
    losses = []
    pairs = batches(gen)
    with ReallyFloat64():
        ref = reference(cls, config(), model)
        if change:
            change(ref)
        read_with_one = {id(p) for module in ref.modules() if type(module).__name__ in UNIT_OFFSET for p in module.parameters()}
        for number, (ids, labels) in enumerate(pairs[:SOME] if name not in ("pre-ln", "pre-rmsnorm") else pairs):
            ref.zero_grad()
            logits = ref(input_ids=ids, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
            loss.backward()
            assert loss.dtype == torch.float64 and all(p.grad.dtype == torch.float64 for p in ref.parameters())
            save_file({key: (p.grad - 1 if id(p) in read_with_one else p.grad).contiguous() for key, p in ref.named_parameters()},
                      os.path.join(path, "gradient-%d.safetensors" % number))
            losses.append({"ids": ids.tolist(), "labels": labels.tolist(), "loss": loss.item()})
    with open(os.path.join(path, "losses.json"), "w") as f:
        f.write("[\n" + ",\n".join(" " + json.dumps(loss) for loss in losses) + "\n]\n")
    print("%-12s %d losses, %d parameters" % (name, len(losses), sum(p.numel() for p in ref.parameters())))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=HERE)
    p.add_argument("--seed", type=int, default=20261)
    a = p.parse_args()
    for name in MODELS:
        make(name, a.out, a.seed)


if __name__ == "__main__":
    main()
