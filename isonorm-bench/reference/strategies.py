"""What every strategy's paper says, written down once more in PyTorch and float64, apart from Isonorm: trains small models for 20 steps and prints,
keeps or compares their losses. Isonorm's tests (PapersTest) hold its own training to what is kept, to 1e-9.

    python isonorm-bench/reference/strategies.py            # compares with what is kept; exit 1 where a loss differs
    python isonorm-bench/reference/strategies.py --write    # keeps the losses anew, in isonorm-engine/src/test/resources/isonorm/train/papers.json

Two kinds of model: gpt2 (learned positions, biases, GELU, tied head) and llama (rotary positions, gated MLP, RMSNorm, no biases). Weights and
tokens are computed from the names of parameters (numbers below), so that nothing but losses need be kept. A parameter is called as Isonorm calls it.
"""
import json
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch.optim import _muon

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

KEPT = pathlib.Path(__file__).resolve().parents[2] / "isonorm-engine/src/test/resources/isonorm/train/papers.json"
WIDTH, BLOCKS, HEADS, HIDDEN, VOCABULARY, LENGTH, BATCH, STEPS = 16, 4, 4, 24, 13, 10, 3, 20
HEAD = WIDTH // HEADS
RATE, BETAS, EPSILON, DECAY, CLIP = 5e-3, (0.9, 0.95), 1e-8, 0.1, 1.0


def numbers(name, count):
    """Between -1 and 1, from a name: multiply and shift, in 32 bits."""
    state = 2166136261
    for byte in name.encode():
        state = (state ^ byte) * 16777619 & 0xFFFFFFFF
    result = []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        mixed = (state ^ state >> 16) * 0x45D9F3B & 0xFFFFFFFF
        result.append((mixed ^ mixed >> 16) / 2147483648 - 1)
    return result


class Model:
    """A decoder whose parameters come into being when they are first asked for."""

    def __init__(self, kind, block, norm, stream=WIDTH, dual=False, branch=1.0, logits=1.0, score=None):
        self.kind, self.block, self.norm, self.stream, self.dual = kind, block, norm, stream, dual
        self.epsilon = 1e-5 if kind == "gpt2" else 1e-6
        self.branch, self.logits = branch, logits
        self.score = HEAD**-0.5 if score is None else score
        self.parameters = {}

    def get(self, name, *shape):
        if name not in self.parameters:
            count = math.prod(shape)
            drawn = torch.tensor(numbers(name, count)).reshape(shape)
            field = name.rsplit(".", 1)[1]
            value = {"weight": 0.4 * drawn, "gain": 1 + 0.2 * drawn, "bias": 0.2 * drawn, "alpha": 0.5 + 0.1 * drawn, "shift": 0.1 * drawn}[field]
            self.parameters[name] = value.requires_grad_()
        return self.parameters[name]

    # Norms, each from its definition

    def normed(self, x, name, kind=None, width=None, bare=False):
        kind = self.norm if kind is None else kind
        width = x.shape[-1] if width is None else width
        if kind == "none":
            return x
        if kind == "layer":
            centred = x - x.mean(-1, keepdim=True)
            y = centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + self.epsilon)
        elif kind == "rms":
            y = x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon)
        elif kind == "crms":  # arXiv 2305.14858, equation 6: d - 1 values stand for d that sum to 0
            squares = x.pow(2).sum(-1, keepdim=True) + x.sum(-1, keepdim=True).pow(2)
            return x / torch.sqrt(squares / (x.shape[-1] + 1) + self.epsilon)
        elif kind == "dyt":
            return self.get(name + ".gain", width) * torch.tanh(self.get(name + ".alpha", 1) * x) + self.get(name + ".bias", width)
        elif kind == "derf":
            return self.get(name + ".gain", width) * torch.erf(self.get(name + ".alpha", 1) * x + self.get(name + ".shift", 1)) + self.get(name + ".bias", width)
        y = y * self.get(name + ".gain", width)
        return y + self.get(name + ".bias", width) if kind == "layer" and not bare else y

    # Sub-layers

    def linear(self, x, name, outputs):
        y = x @ self.get(name + ".weight", outputs, x.shape[-1]).T
        return y + self.get(name + ".bias", outputs) if self.kind == "gpt2" else y

    def attention(self, x, l, qk=None, values=False, inner=False, scales=False):
        at = f"blocks.{l}.attention."
        batch, length = x.shape[:2]
        q, k, v = self.linear(x, at + "query_key_value", 3 * WIDTH).split(WIDTH, -1)
        if qk == "projection":  # all heads together
            q = self.normed(q, at + "query_norm", bare=True)
            k = self.normed(k, at + "key_norm", bare=True)
        q, k, v = (each.reshape(batch, length, HEADS, HEAD).transpose(1, 2) for each in (q, k, v))
        if qk == "head":  # each head by itself, one gain for all
            q = self.normed(q, at + "query_norm", bare=True)
            k = self.normed(k, at + "key_norm", bare=True)
        if values:
            v = self.normed(v, at + "value_norm", bare=True)
        if self.kind == "llama":
            q, k = rotated(q), rotated(k)
        scores = q @ k.transpose(-1, -2) * self.score
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        o = scores.masked_fill(~mask, -math.inf).softmax(-1) @ v
        if scales:
            o = o * self.get(at + "head_scale.weight", HEADS)[:, None, None]
        o = o.transpose(1, 2).reshape(batch, length, WIDTH)
        if inner:
            o = self.normed(o, at + "inner_norm")
        return self.branch * self.linear(o, at + "output", self.stream)

    def mlp(self, x, l, inner=False):
        at = f"blocks.{l}.mlp."
        if self.kind == "gpt2":
            hidden = F.gelu(self.linear(x, at + "up", HIDDEN), approximate="tanh")
        else:
            hidden = F.silu(self.linear(x, at + "gate", HIDDEN)) * self.linear(x, at + "up", HIDDEN)
        if inner:
            hidden = self.normed(hidden, at + "inner_norm")
        return self.branch * self.linear(hidden, at + "down", self.stream)

    # The whole

    def loss(self, ids, targets):
        table = self.get("embedding.token.weight", VOCABULARY, self.stream)
        h = table[ids]
        if self.kind == "gpt2":
            h = h + self.get("embedding.position.weight", LENGTH, self.stream)[: ids.shape[1]]
        streams = (h, h) if self.dual else h
        for l in range(BLOCKS):
            streams = self.block(self, streams, l)
        if self.dual:
            h = streams[0] + self.normed(streams[1], "final_norm")
        else:
            h = self.normed(streams, "final_norm")
        if self.kind == "llama":
            logits = h @ self.get("head.weight", VOCABULARY, self.stream).T
        elif self.norm == "crms":  # the implied value is minus the sum, of the table's rows too
            whole = torch.cat((h, -h.sum(-1, keepdim=True)), -1)
            logits = whole @ torch.cat((table, -table.sum(-1, keepdim=True)), -1).T
        else:
            logits = h @ table.T
        return F.cross_entropy((self.logits * logits).reshape(-1, VOCABULARY), targets.reshape(-1))


def rotated(x):
    half = HEAD // 2
    angles = torch.arange(x.shape[-2])[:, None] * 10000.0 ** (-2 * torch.arange(half) / HEAD)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()), -1)


# Blocks: what each paper's equation says. h is the stream, l counts from 0.


def norm(m, x, l, part):
    return m.normed(x, f"blocks.{l}.{part}")


def post(m, h, l):  # 1706.03762: h = N(h + F(h))
    h = norm(m, h + m.attention(h, l), l, "attention_norm")
    return norm(m, h + m.mlp(h, l), l, "mlp_norm")


def pre(m, h, l):  # 2002.04745: h = h + F(N(h))
    h = h + m.attention(norm(m, h, l, "attention_norm"), l)
    return h + m.mlp(norm(m, h, l, "mlp_norm"), l)


def peri(m, h, l):  # 2502.02732, equation 3: h = h + N(F(N(h)))
    h = h + norm(m, m.attention(norm(m, h, l, "attention_norm"), l), l, "attention_output_norm")
    return h + norm(m, m.mlp(norm(m, h, l, "mlp_norm"), l), l, "mlp_output_norm")


def lns(m, h, l):  # 2502.05795, equation 7: what both norms of block l give, times 1 / sqrt(l)
    factor = 1 / math.sqrt(l + 1)
    h = h + m.attention(factor * norm(m, h, l, "attention_norm"), l)
    return h + m.mlp(factor * norm(m, h, l, "mlp_norm"), l)


def lns_before_norm(m, h, l):  # 2502.05795, table 8: where else the factor could stand
    factor = 1 / math.sqrt(l + 1)
    h = h + m.attention(norm(m, factor * h, l, "attention_norm"), l)
    return h + m.mlp(norm(m, factor * h, l, "mlp_norm"), l)


def lns_branches(m, h, l):
    factor = 1 / math.sqrt(l + 1)
    h = h + factor * m.attention(norm(m, h, l, "attention_norm"), l)
    return h + factor * m.mlp(norm(m, h, l, "mlp_norm"), l)


def lns_residual(m, h, l):
    factor = 1 / math.sqrt(l + 1)
    h = factor * (h + m.attention(norm(m, h, l, "attention_norm"), l))
    return factor * (h + m.mlp(norm(m, h, l, "mlp_norm"), l))


def lns_attention(m, h, l):
    h = h + m.attention(1 / math.sqrt(l + 1) * norm(m, h, l, "attention_norm"), l)
    return h + m.mlp(norm(m, h, l, "mlp_norm"), l)


def lns_mlp(m, h, l):
    h = h + m.attention(norm(m, h, l, "attention_norm"), l)
    return h + m.mlp(1 / math.sqrt(l + 1) * norm(m, h, l, "mlp_norm"), l)


def mix(m, h, l):  # 2412.13795: the first floor(L / 4) blocks are Post-LN, the rest Pre-LN
    return (post if l < math.floor(BLOCKS / 4) else pre)(m, h, l)


def deepnorm(m, h, l):  # 2203.00555: h = N(a h + F(h)), a = (2 L)^(1/4)
    a = (2 * BLOCKS) ** 0.25
    h = norm(m, a * h + m.attention(h, l), l, "attention_norm")
    return norm(m, a * h + m.mlp(h, l), l, "mlp_norm")


def output_norm(m, h, l):  # OLMo 2: h = h + N(F(h)), queries and keys normalized over all heads
    h = h + norm(m, m.attention(h, l, qk="projection"), l, "attention_output_norm")
    return h + norm(m, m.mlp(h, l), l, "mlp_output_norm")


def hybrid(m, h, l):  # 2503.04598, equations 9 and 10: Y = X + A_qkv(X), X = N(Y) + F(N(Y))
    y = norm(m, h + m.attention(h, l, qk="head", values=True), l, "attention_norm")
    return y + m.mlp(y, l)


def hybrid_star(m, h, l):  # the same, and in the first block A_qkv(N(X))
    if l > 0:
        return hybrid(m, h, l)
    y = h + m.attention(norm(m, h, l, "attention_norm"), l, qk="head", values=True)
    y = norm(m, y, l, "attention_output_norm")
    return y + m.mlp(y, l)


def sub_ln(m, h, l):  # 2210.06423: Pre-LN, and norms before both output projections
    h = h + m.attention(norm(m, h, l, "attention_norm"), l, inner=True)
    return h + m.mlp(norm(m, h, l, "mlp_norm"), l, inner=True)


def normformer(m, h, l):  # 2110.09456: h = h + N(HeadScale A(N(h))), then h + W2 N(act(W1 N(h)))
    h = h + norm(m, m.attention(norm(m, h, l, "attention_norm"), l, scales=True), l, "attention_output_norm")
    return h + m.mlp(norm(m, h, l, "mlp_norm"), l, inner=True)


def residual(m, streams, l):  # 2304.14802: x = N(x + F(x)), y = y + F(x), and x + N(y) at the end
    x, y = streams
    f = m.attention(x, l)
    x, y = norm(m, x + f, l, "attention_norm"), y + f
    f = m.mlp(x, l)
    return norm(m, x + f, l, "mlp_norm"), y + f


def gpas(m, h, l):  # 2506.22049: behind each sum h = h - SiLU(g) stopgrad(h); a gate for each of both
    def gated(x, part):
        return x - F.silu(m.get(f"blocks.{l}.{part}_stream_gate.weight", 1)) * x.detach()

    h = gated(h + m.attention(norm(m, h, l, "attention_norm"), l), "attention")
    return gated(h + m.mlp(norm(m, h, l, "mlp_norm"), l), "mlp")


def keel(m, h, l):  # 2601.19895: h = N(a h + F(N(h))), a = 2 L; no a in the first block, and no norm behind its attention's sum
    if l == 0:
        h = h + m.attention(norm(m, h, l, "attention_norm"), l)
        return norm(m, h + m.mlp(norm(m, h, l, "mlp_norm"), l), l, "mlp_output_norm")
    a = 2 * BLOCKS
    h = norm(m, a * h + m.attention(norm(m, h, l, "attention_norm"), l), l, "attention_output_norm")
    return norm(m, a * h + m.mlp(norm(m, h, l, "mlp_norm"), l), l, "mlp_output_norm")


# What a strategy is: its block, the norms' kind (None: that of the kind of model), what else.
STRATEGIES = {
    "post-ln": (post, "layer", {}),
    "pre-ln": (pre, "layer", {}),
    "pre-rmsnorm": (pre, "rms", {}),
    "pre-crmsnorm": (pre, "crms", {"stream": WIDTH - 1}),
    "peri-ln": (peri, "rms", {}),
    "lns": (lns, None, {}),
    "mix-ln": (mix, None, {}),
    "deepnorm": (deepnorm, "layer", {}),
    "sandwich-ln": (peri, "layer", {}),
    "output-norm": (output_norm, "rms", {}),
    "hybridnorm": (hybrid, "rms", {}),
    "hybridnorm-star": (hybrid_star, "rms", {}),
    "sub-ln": (sub_ln, "layer", {}),
    "normformer": (normformer, "layer", {}),
    "residual": (residual, "layer", {"dual": True}),
    "gpas": (gpas, "rms", {}),
    "keel": (keel, "rms", {}),
    "dyt": (pre, "dyt", {}),
    "no-norm": (pre, "none", {}),
    "pre-rmsnorm-equivalent": (pre, "layer", {}),  # arXiv 2305.14858: they are Pre-LN
    "pre-crmsnorm-equivalent": (pre, "layer", {}),
}


def batch(step):
    drawn = numbers(f"batch.{step}", BATCH * (LENGTH + 1))
    ids = torch.tensor([int((each + 1) / 2 * VOCABULARY) for each in drawn]).reshape(BATCH, LENGTH + 1)
    return ids[:, :-1], ids[:, 1:]


def clipped(parameters):
    length = math.sqrt(sum(each.grad.pow(2).sum().item() for each in parameters))
    if length > CLIP:
        for each in parameters:
            each.grad.mul_(CLIP / length)


def adamw(model):
    """As arXiv 1711.05101 has it, matrices decaying."""
    parameters = model.parameters.values()
    groups = [{"params": [each for each in parameters if each.ndim > 1], "weight_decay": DECAY},
              {"params": [each for each in parameters if each.ndim == 1], "weight_decay": 0.0}]
    return [torch.optim.AdamW([group for group in groups if group["params"]], lr=RATE, betas=BETAS, eps=EPSILON)]


def trained(model, optimizers=adamw):
    """The losses of 20 steps, each before its step."""
    model.loss(*batch(0))  # brings the parameters into being
    steps = optimizers(model)
    losses = []
    for step in range(STEPS):
        for each in model.parameters.values():
            each.grad = None
        loss = model.loss(*batch(step))
        loss.backward()
        clipped(list(model.parameters.values()))
        for optimizer in steps:
            optimizer.step()
        losses.append(loss.item())
    return losses


# Muon


def exact(grad, coefficients, steps, eps):
    """PyTorch's, without its cast to bfloat16."""
    a, b, c = coefficients
    x = grad.T if grad.shape[0] > grad.shape[1] else grad
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if grad.shape[0] > grad.shape[1] else x


class Split(Model):
    """Queries, keys and values have a matrix each, as Muon wants them."""

    def get(self, name, *shape):
        if not name.endswith("query_key_value.weight"):
            return super().get(name, *shape)
        parts = [f"{name}.{i}" for i in range(3)]
        if parts[0] not in self.parameters:
            whole = super().get(name, *shape).detach()
            del self.parameters[name]
            for part, rows in zip(parts, whole.split(WIDTH)):
                self.parameters[part] = rows.clone().requires_grad_()
        return torch.cat([self.parameters[part] for part in parts])


def muon(adjustment, rest):
    def optimizers(model):
        turned = [each for name, each in model.parameters.items() if name.startswith("blocks.") and each.ndim == 2]
        others = [each for name, each in model.parameters.items() if not (name.startswith("blocks.") and each.ndim == 2)]
        groups = [{"params": [each for each in others if each.ndim > 1], "weight_decay": DECAY},
                  {"params": [each for each in others if each.ndim == 1], "weight_decay": 0.0}]
        return [torch.optim.Muon(turned, lr=RATE, weight_decay=DECAY, momentum=0.95, adjust_lr_fn=adjustment),
                torch.optim.AdamW(groups, lr=rest * RATE, betas=BETAS, eps=EPSILON)]

    return optimizers


def of_muon(kind, adjustment, rest):
    stock = _muon._zeropower_via_newtonschulz
    _muon._zeropower_via_newtonschulz = exact
    try:
        model = Split(kind, pre, "layer")
        return trained(model, muon(adjustment, rest)), model
    finally:
        _muon._zeropower_via_newtonschulz = stock


# CompleteP


def completep(kind, base_width, base_blocks):
    """Equation 40 and table 1 of arXiv 2505.01618, alpha being 1; deviations of weights are not a part of this."""
    widths, depths = WIDTH / base_width, BLOCKS / base_blocks

    def optimizers(model):
        groups = []
        for name, each in model.parameters.items():
            hidden, matrix = name.startswith("blocks."), each.ndim > 1
            groups.append({"params": [each], "lr": RATE / widths if hidden and matrix else RATE,
                           "weight_decay": (DECAY * widths if hidden else DECAY) if matrix else 0.0,
                           "eps": EPSILON / widths / (depths if hidden else 1)})
        return [torch.optim.AdamW(groups, lr=RATE, betas=BETAS)]

    return trained(Model(kind, pre, "layer", branch=1 / depths, logits=1 / widths, score=1 / HEAD), optimizers)


# Where else LayerNorm Scaling could stand: values of strategy.scaling.
SCALINGS = {
    "lns-before-norm": (lns_before_norm, None, {}),
    "lns-branches": (lns_branches, None, {}),
    "lns-residual": (lns_residual, None, {}),
    "lns-attention": (lns_attention, None, {}),
    "lns-mlp": (lns_mlp, None, {}),
}


def all_losses():
    losses = {}
    for name, (block, kind_of_norm, more) in {**STRATEGIES, **SCALINGS}.items():
        for kind in ("gpt2", "llama"):
            own = kind_of_norm or ("layer" if kind == "gpt2" else "rms")
            losses[f"{name} {kind}"] = trained(Model(kind, block, own, **more))
    for kind in ("gpt2", "llama"):
        losses[f"muon {kind}"] = of_muon(kind, "match_rms_adamw", 1.0)[0]
        losses[f"muon-original {kind}"] = of_muon(kind, "original", 0.5)[0]
        losses[f"completep {kind}"] = completep(kind, 8, 2)
    return losses


def stock_difference():
    """How far PyTorch's own Muon, which orthogonalizes in bfloat16, is from the exact one behind 20 steps: losses, and weights."""
    worst = [0.0, 0.0]
    for kind in ("gpt2", "llama"):
        losses, model = of_muon(kind, "match_rms_adamw", 1.0)
        other = Split(kind, pre, "layer")
        stock = trained(other, muon("match_rms_adamw", 1.0))
        worst[0] = max(worst[0], max(abs(a - b) for a, b in zip(losses, stock)))
        worst[1] = max(worst[1], max((model.parameters[name] - each).abs().max().item() for name, each in other.parameters.items()))
    return worst


def main():
    losses = all_losses()
    print("PyTorch's Muon in bfloat16 differs by %.1e in a loss and %.1e in a weight" % tuple(stock_difference()))
    if "--write" in sys.argv:
        KEPT.write_text("{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in losses.items()) + "\n}\n")
        print(f"{len(losses)} runs of {STEPS} steps are kept in {KEPT}")
        return 0
    kept = json.loads(KEPT.read_text())
    off = {name: max(abs(a - b) for a, b in zip(each, kept.get(name, []) or [math.inf] * STEPS)) for name, each in losses.items()}
    name = max(off, key=off.get)
    print(f"{len(losses)} runs of {STEPS} steps, the largest difference to what is kept {off[name]:.1e} ({name})")
    return int(off[name] > 1e-12 or set(kept) != set(losses))


sys.exit(main())
