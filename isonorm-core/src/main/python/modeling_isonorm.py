"""A checkpoint in Isonorm's own format as a model of Hugging Face transformers 5. Isonorm's docs/format.md says what is computed.

Modules have the names of the format's tensors, so that what `save_pretrained` writes is in that format again.
"""

import copy
import math
import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming
from transformers.generation import GenerationMixin
from transformers.masking_utils import (
    create_bidirectional_mask,
    create_bidirectional_sliding_window_mask,
    create_causal_mask,
    create_sliding_window_causal_mask,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutput,
    CausalLMOutput,
    CausalLMOutputWithPast,
    ImageClassifierOutput,
    MaskedLMOutput,
    ModelOutput,
    Seq2SeqLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_isonorm import IsonormConfig

ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick-gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": F.relu,
    "relu-squared": lambda x: F.relu(x).square(),
    "silu": F.silu,
    "tanh": torch.tanh,
}

# Where the norm and the output norm of a sub-layer stand: before it, between it and the sum, or behind the sum.
PLACEMENTS = {
    "pre": ("input", None),
    "post": ("sum", None),
    "peri": ("input", "branch"),
    "output": (None, "branch"),
    "both": ("input", "sum"),
    "dual": ("sum", None),
    "none": (None, None),
}

# What transformers could be asked for and has no meaning in this format.
UNREAD = ("bool_masked_pos", "head_mask", "encoder_hidden_states", "spatial_shapes", "decoder_inputs_embeds", "token_type_embeds")


def expand(x):
    """The d values that d - 1 stand for: all of them sum to zero."""
    return torch.cat([x, -x.sum(-1, keepdim=True)], -1)


def wide(x):
    return x if x.dtype == torch.float64 else x.float()


def refuse_unread(kwargs):
    for key in UNREAD:
        if kwargs.get(key) is not None:
            raise ValueError(f"{key} is not read by Isonorm's models; leave it out")
    if kwargs.get("interpolate_pos_encoding"):
        raise ValueError("interpolate_pos_encoding = True is not computed by Isonorm's models; give images of the size that config.json says")


class Vector(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(*shape))


class Reader(nn.Linear):
    """A linear layer that reads the stream. Its column was taken out by compression, and only the way back needs it."""

    def __init__(self, inputs, outputs, bias, column):
        super().__init__(inputs, outputs, bias=bias)
        if column:
            self.register_buffer("column", torch.zeros(outputs))


class FewBits:
    """The weight of a module as codes times the scales of their groups: exact in float32, and rounded once to what the module computes in."""

    @property
    def weight(self):
        codes = self.codes
        if codes.dtype == torch.uint8:
            codes = torch.stack([codes & 15, codes >> 4], -1).flatten(1)[:, :self.inputs].to(torch.int8) - 8
        scales = self.scales.float().repeat_interleave(self.group, 1)[:, :self.inputs]
        return (codes * scales).to(self.like.dtype)


class TableAsHead:
    """The weight of a tied head whose table is in few bits."""

    @property
    def weight(self):
        return self.table[0].weight


LAYERS = re.compile(r"(.*\.)?blocks\.\d+\.(attention\.(query_key_value|query_up|key_value_up|output)|cross_attention\.(query|key_value|output)"
                    r"|mlp\.(shared\.)?(gate|up|down)(\.\d+)?)")


def become(module, part):
    module.__class__ = type(part.__name__ + type(module).__name__, (part, type(module)), {})


def to_few_bits(root, config):
    """Gives the modules of `root` that config.json says codes and scales in place of weights."""
    how = getattr(config, "quantization_config", None)
    if not how:
        return
    for name, module in list(root.named_modules()):
        end = name == "head" or name.endswith("embedding.token")
        if isinstance(module, (FewBits, nn.ModuleList)) or name in how["modules_to_not_convert"] or not (end or LAYERS.fullmatch(name)) or getattr(module, "tied", False):
            continue
        (rows, inputs), bits = module.weight.shape, how["head_bits" if end else "bits"]
        del module.weight
        module.inputs, module.group = inputs, how["group_size"]
        module.register_buffer("codes", torch.zeros(rows, -(-inputs * bits // 8), dtype=torch.int8 if bits == 8 else torch.uint8))
        module.register_buffer("scales", torch.zeros(rows, -(-inputs // module.group), dtype=torch.float16))
        module.register_buffer("like", torch.zeros(0), persistent=False)  # has the type that is computed in
        become(module, FewBits)


class IsonormNorm(nn.Module):
    """LayerNorm, RMSNorm, CRMSNorm or DyT over the last dimensions; what is computed is of float32 at least and rounded once.

    `appends` is whether gain and bias are of one value more than what is normalized: minus the sum of the others.
    """

    def __init__(self, json, *shape, appends=False):
        super().__init__()
        self.kind, self.epsilon = json["kind"], json.get("epsilon", 1e-5)
        affine, folded = json.get("affine", "none"), json.get("folded", "none")
        self.shape, self.appends, values = shape, appends, math.prod(shape)
        self.gain = nn.Parameter(torch.ones(values)) if affine != "none" else None
        self.bias = nn.Parameter(torch.zeros(values)) if affine == "gain-and-bias" else None
        self.alpha = nn.Parameter(torch.ones(1)) if self.kind == "dyt" else None
        # What was folded into readers: it takes no part, and only the way back needs it.
        if folded != "none":
            self.register_buffer("folded_gain", torch.ones(values))
        if folded == "gain-and-bias":
            self.register_buffer("folded_bias", torch.zeros(values))

    def forward(self, x):
        if self.kind == "rmsnorm" and self.gain is None:
            return F.rms_norm(x, x.shape[-1:], None, self.epsilon)
        y = wide(x)
        if self.kind == "layernorm":
            y = F.layer_norm(y, y.shape[-1:], None, None, self.epsilon)
        elif self.kind == "rmsnorm":
            y = F.rms_norm(y, y.shape[-1:], None, self.epsilon)
        elif self.kind == "dyt":
            y = torch.tanh(self.alpha * y)
        else:
            values = y.shape[-1] + 1
            y = y * torch.rsqrt((y.square().sum(-1, keepdim=True) + y.sum(-1, keepdim=True).square()) / values + self.epsilon)
        if self.gain is not None:
            if self.appends:
                y = expand(y)
            y = y * self.gain.view(self.shape)
        if self.bias is not None:
            y = y + self.bias.view(self.shape)
        return y.to(x.dtype)


def stream_norm(json, stack):
    """A norm that reads the stream, or what enters it."""
    return IsonormNorm(json, stack.width, appends=stack.compressed)


class Places:
    """Where the tokens of a call stand: shared by all its layers."""

    def __init__(self, position_ids=None, seen=0, mask=None):
        self.position_ids, self.seen, self.mask, self.turned = position_ids, seen, mask, {}

    def keys(self, count, length):
        """The positions of the last `count` keys, of which `length` belong to this call."""
        first = max(0, self.seen + length - count)
        return first, first + torch.arange(count, device=self.position_ids.device)

    def counted(self, first, count):
        """How many tokens the mask keeps before each key; (batch or 1, keys)."""
        if self.mask is None:
            return first + torch.arange(count, device=self.position_ids.device)[None]
        seen = self.mask.long()
        seen = F.pad(seen, (0, max(0, first + count - seen.shape[1])))
        return ((seen.cumsum(1) - 1) * seen)[:, first:first + count]


class IsonormRotary:
    """Turns pairs of values. It has no tensors: a model is built where tensors have no values."""

    def __init__(self, json):
        self.width, self.pairing, self.grid = json["width"], json["pairing"], json.get("grid")
        self.base, self.divisor = json.get("base", 10000.0), json.get("divisor", self.width)
        self.scaling = json.get("scaling") or {"kind": "none"}
        self.kind, self.magnitude = self.scaling["kind"], self.scaling.get("magnitude", 1.0)
        self.key = repr(sorted(json.items(), key=str))

    def frequencies(self, length):
        scaling, base = self.scaling, self.base
        factor, original = scaling.get("factor", 1), scaling.get("original_context", 0)
        if self.kind == "dynamic" and length > original:
            base *= (factor * length / original - (factor - 1)) ** (self.divisor / (self.divisor - 2))
        frequencies = [base ** (-2 * i / self.divisor) for i in range(self.width // 2)]
        if self.kind == "linear":
            return [f / factor for f in frequencies]
        if self.kind == "llama3":
            low, high = scaling.get("low_frequency_factor", 1), scaling.get("high_frequency_factor", 4)

            def scaled(f):
                smooth = min(max((original * f / (2 * math.pi) - low) / (high - low), 0), 1)
                return (1 - smooth) * f / factor + smooth * f

            return [scaled(f) for f in frequencies]
        if self.kind == "yarn":
            first, last = scaling["from"], scaling["to"]
            divided = [min(max((i - first) / (last - first), 0), 1) for i in range(len(frequencies))]
            return [f / factor * d + f * (1 - d) for f, d in zip(frequencies, divided)]
        if self.kind == "longrope":
            return [f / d for f, d in zip(frequencies, scaling["long_factors" if length > original else "factors"])]
        if self.kind == "proportional":
            return [f / factor if i < scaling["pairs"] else 0.0 for i, f in enumerate(frequencies)]
        return frequencies

    def angles(self, places, dtype):
        positions = places.position_ids.to(dtype)
        if self.grid:
            patch = places.position_ids - self.grid.get("before", 0)
            rows, columns, each = self.grid["rows"], self.grid["columns"], self.width // 4
            y = (2 * torch.div(patch, columns, rounding_mode="floor").to(dtype) + 1) / rows - 1
            x = (2 * (patch % columns).to(dtype) + 1) / columns - 1
            frequency = torch.tensor([2 * math.pi * self.base ** (-4 * i / self.width) for i in range(each)], dtype=dtype, device=positions.device)
            angles = torch.cat([y[..., None] * frequency, x[..., None] * frequency], -1)
            return angles * (patch >= 0)[..., None]
        length = 0
        if self.kind in ("longrope", "dynamic"):
            length, original = int(places.position_ids.max()) + 1, self.scaling.get("original_context", 0)
            if places.seen and length > original and not (self.kind == "longrope" and self.scaling["factors"] == self.scaling["long_factors"]):
                raise ValueError(f"rotary.scaling.kind = {self.kind!r}: behind {original} tokens all positions are turned otherwise, those of cached keys too; "
                                 "give the whole text with use_cache=False")
        return positions[..., None] * torch.tensor(self.frequencies(length), dtype=dtype, device=positions.device)

    def __call__(self, x, places):
        if self.key not in places.turned:
            angles = self.angles(places, torch.float32 if x.device.type == "mps" else torch.float64)
            kept = torch.float64 if x.dtype == torch.float64 else torch.float32
            places.turned[self.key] = ((angles.cos() * self.magnitude).to(kept)[:, None], (angles.sin() * self.magnitude).to(kept)[:, None])
        cosine, sine = places.turned[self.key]
        part = x[..., :self.width].to(cosine.dtype)
        if self.pairing == "halves":
            a, b = part.chunk(2, -1)
            y = torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1)
        else:
            a, b = part[..., 0::2], part[..., 1::2]
            y = torch.stack([a * cosine - b * sine, b * cosine + a * sine], -1).flatten(-2)
        return torch.cat([y.to(x.dtype), x[..., self.width:]], -1)


def alibi_slopes(kind, heads):
    power = 2 ** math.floor(math.log2(heads))
    if kind == "after-scale-interleaved":
        power = power if power == heads else 2 * power
        counted = [h + 1 if power == heads else 2 * (h + 1) if h < power // 2 else 2 * (h - power // 2) + 1 for h in range(heads)]
        return [2 ** (-8 * k / power) for k in counted]
    return [2 ** (-8 * (h + 1) / power) if h < power else 2 ** (-4 * (2 * (h - power) + 1) / power) for h in range(heads)]


def buckets(json, query, key):
    """Which learned number belongs to a query's position and a key's."""
    if "rows" in json:
        rows, columns = json["rows"], json["columns"]
        count = (2 * rows - 1) * (2 * columns - 1) + 3
        down = torch.div(query - 1, columns, rounding_mode="floor") - torch.div(key - 1, columns, rounding_mode="floor")
        across = (query - 1) % columns - (key - 1) % columns
        of_patches = (down + rows - 1) * (2 * columns - 1) + across + columns - 1
        of_class = torch.where(query > 0, count - 2, torch.where(key > 0, count - 3, count - 1))
        return torch.where((query > 0) & (key > 0), of_patches, of_class)
    distance = key - query
    each = json["buckets"] // 2 if json.get("bidirectional") else json["buckets"]
    first = torch.where(distance > 0, each, 0) if json.get("bidirectional") else 0
    far = distance.abs() if json.get("bidirectional") else (-distance).clamp(min=0)
    exact = each // 2
    above = (torch.log(far.clamp(min=exact).double() / exact) / math.log(json["furthest"] / exact) * (each - exact)).long()
    return first + torch.where(far < exact, far, (exact + above).clamp(max=each - 1))


def eager_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, softcap=None, s_aux=None, **kwargs):
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if attention_mask is not None:
        scores = scores + attention_mask
    scores = wide(scores)
    if s_aux is not None:
        sink = s_aux.to(scores.dtype)[None, :, None, None].expand(scores.shape[0], -1, scores.shape[2], 1)
        weights = torch.softmax(torch.cat([scores, sink], -1), -1)[..., :-1]
    else:
        weights = torch.softmax(scores, -1)
    weights = F.dropout(weights.to(query.dtype), dropout, module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class Attending(nn.Module):
    """What all attention here has: scores that transformers' own implementations make, or ours where they cannot."""

    def setup(self, config, json, layer, where):
        self.config, self.layer_idx, self.where = config, layer, where
        self.heads, self.key_value_heads = json["heads"], json.get("key_value_heads", json["heads"])
        self.num_key_value_groups = self.heads // self.key_value_heads
        self.is_causal, self.scaling = json.get("causal", True), json.get("scale", 1.0)
        self.window, self.softcap, self.sinks = json.get("window"), json.get("softcap"), json.get("sinks", False)
        self.adds = "alibi" if json.get("alibi") else "relative_bias" if json.get("relative_bias") else None
        self.only_here = "softcap" if self.softcap is not None else "sinks" if self.sinks else None

    @property
    def mask_kind(self):
        """What a mask has to look like: our own scores and biases need numbers."""
        return "eager" if self.adds or self.only_here else self.config._attn_implementation

    def attend(self, query, key, value, attention_mask, bias=None, **kwargs):
        name = self.config._attn_implementation
        special = self.adds or self.only_here or (query.shape[-1] != value.shape[-1] and "latent_attention")
        if special and name not in ("eager", "sdpa"):
            raise ValueError(f"config.json: {self.where} has {special}, which attn_implementation = {name!r} does not compute; ask for 'sdpa' or 'eager'")
        kept = torch.finfo(query.dtype).min
        if attention_mask is not None and attention_mask.dtype == torch.bool and (name == "eager" or self.adds or self.only_here):
            attention_mask = torch.zeros_like(attention_mask, dtype=query.dtype).masked_fill(~attention_mask, kept)
        if bias is not None:
            attention_mask = (bias if attention_mask is None else bias + attention_mask[..., :key.shape[2]]).clamp(min=kept).to(query.dtype)
        if name == "eager" or self.only_here:
            sinks = self.sink.weight if self.sinks else None
            return eager_attention(self, query, key, value, attention_mask, self.scaling, softcap=self.softcap, s_aux=sinks)
        function = ALL_ATTENTION_FUNCTIONS.get_interface(name, eager_attention)
        return function(self, query, key, value, attention_mask, dropout=0.0, scaling=self.scaling, sliding_window=self.window, **kwargs)


class IsonormAttention(Attending):
    def __init__(self, config, stack, json, layer, where, column):
        super().__init__()
        self.setup(config, json, layer, f"{where}.attention")
        self.head_dim = json["head_width"]
        self.scaling = json.get("scale", self.head_dim ** -0.5)
        self.clip, self.alibi, self.relative = json.get("clip"), json.get("alibi"), json.get("relative_bias")
        self.query_key_value = Reader(stack.stream, (self.heads + 2 * self.key_value_heads) * self.head_dim, json.get("bias", True), column)
        self.output = nn.Linear(self.heads * self.head_dim, stack.stream, bias=json.get("output_bias", True))
        self.rotary = IsonormRotary(json["rotary"]) if json.get("rotary") else None
        norm = json.get("query_key_norm")
        self.span = norm["span"] if norm else "head"
        self.query_norm = self.norm_of(norm and norm["norm"], self.heads)
        self.key_norm = self.norm_of(norm and norm["norm"], self.key_value_heads)
        self.value_norm = self.norm_of(json.get("value_norm"), self.key_value_heads)
        inner = json.get("inner_norm")
        self.inner_norm = IsonormNorm(inner, self.heads * self.head_dim) if inner else None
        self.head_scale = Vector(self.heads) if json.get("head_scales") else None
        if self.relative and self.relative.get("own", True):
            count = (2 * self.relative["rows"] - 1) * (2 * self.relative["columns"] - 1) + 3 if "rows" in self.relative else self.relative["buckets"]
            self.relative_bias = Vector(count, self.heads)
        self.gates = (self.relative or {}).get("gates", "none")
        if self.gates != "none":
            self.relative_gate = nn.Linear(self.head_dim, 8) if self.gates == "shared" else Reader(stack.stream, 2 * self.heads, True, column)
            self.relative_gate_scale = Vector(self.heads)
        if self.sinks:
            self.sink = Vector(self.heads)

    def norm_of(self, json, heads):
        if not json:
            return None
        return IsonormNorm(json, *{"head": (self.head_dim,), "each-head": (heads, self.head_dim), "projection": (heads * self.head_dim,)}[self.span])

    def in_heads(self, x, norm):
        shape = (*x.shape[:2], -1, self.head_dim)
        if norm is None:
            return x.reshape(shape).transpose(1, 2)
        x = norm(x).reshape(shape) if self.span == "projection" else norm(x.reshape(shape))
        return x.transpose(1, 2)

    def bias(self, places, length, count, table, dtype):
        """What is added to the scores: (batch or 1, heads, queries, keys)."""
        if not self.adds:
            return None
        first, keys = places.keys(count, length)
        if self.relative:
            queries = places.seen + torch.arange(length, device=keys.device)
            return table[buckets(self.relative, queries[:, None], keys[None])].permute(2, 0, 1)[None]
        dtype = torch.float64 if dtype == torch.float64 else torch.float32
        slopes = torch.tensor(alibi_slopes(self.alibi, self.heads), dtype=dtype, device=keys.device)
        counted = places.counted(first, count).to(dtype)
        if self.alibi == "before-scale-bfloat16":
            biases = (slopes.to(torch.bfloat16)[:, None] * counted.to(torch.bfloat16)[:, None]).to(dtype) * self.scaling
        else:
            biases = slopes[:, None] * counted[:, None]
        # Counted from the query, for then what is near is not rounded much; a softmax does not see the difference.
        own = places.seen - first + torch.arange(length, device=keys.device)
        return biases[:, :, None] - biases[:, :, own, None]

    def gate(self, x):
        """What each query multiplies its biases with: (batch, queries, heads)."""
        if self.gates == "shared":  # each head's part of x, and the sums of four
            numbers = self.relative_gate(x.unflatten(-1, (self.heads, self.head_dim))).unflatten(-1, (2, 4)).sum(-1)
        else:
            numbers = self.relative_gate(x).unflatten(-1, (2, self.heads)).transpose(-1, -2)
        first, second = torch.sigmoid(numbers).unbind(-1)
        return first * (second * self.relative_gate_scale.weight - 1) + 2

    def forward(self, x, attention_mask=None, places=None, past_key_values=None, table=None, **kwargs):
        y = self.query_key_value(x)
        if self.clip is not None:
            y = y.clamp(-self.clip, self.clip)
        query, key, value = y.split([self.heads * self.head_dim] + 2 * [self.key_value_heads * self.head_dim], -1)
        query, key, value = self.in_heads(query, self.query_norm), self.in_heads(key, self.key_norm), self.in_heads(value, self.value_norm)
        if self.rotary is not None:
            query, key = self.rotary(query, places), self.rotary(key, places)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        own = self.relative_bias.weight if hasattr(self, "relative_bias") else table
        bias = self.bias(places, query.shape[2], key.shape[2], own, x.dtype)
        if self.gates != "none":
            bias = bias * self.gate(x).transpose(1, 2)[..., None]
        y, weights = self.attend(query, key, value, attention_mask, bias, **kwargs)
        y = y.reshape(*x.shape[:2], -1)
        if self.inner_norm is not None:
            y = self.inner_norm(y)
        if self.head_scale is not None:
            y = y * self.head_scale.weight.repeat_interleave(self.head_dim).to(y.dtype)
        return self.output(y.contiguous()), weights


class IsonormLatentAttention(Attending):
    def __init__(self, config, stack, json, layer, where, column):
        super().__init__()
        self.setup(config, json, layer, f"{where}.latent_attention")
        self.rotary = IsonormRotary(json["rotary"])
        self.plain, self.value_width, self.rank = json["plain_width"], json["value_width"], json["key_value_rank"]
        self.head_dim = self.plain + self.rotary.width
        self.scaling, norm = json.get("scale", self.head_dim ** -0.5), json["norm"]
        self.reads = json.get("query_rank") or self.heads * self.head_dim
        self.query_key_value = Reader(stack.stream, self.reads + self.rank + self.rotary.width, json.get("bias", False), column)
        self.query_norm = IsonormNorm(norm, json["query_rank"]) if json.get("query_rank") else None
        self.query_up = nn.Linear(json["query_rank"], self.heads * self.head_dim, bias=False) if json.get("query_rank") else None
        self.key_norm = IsonormNorm(norm, self.rank)
        self.key_value_up = nn.Linear(self.rank, self.heads * (self.plain + self.value_width), bias=False)
        self.output = nn.Linear(self.heads * self.value_width, stack.stream, bias=json.get("output_bias", False))

    def forward(self, x, attention_mask=None, places=None, past_key_values=None, table=None, **kwargs):
        query, latent, turned = self.query_key_value(x).split([self.reads, self.rank, self.rotary.width], -1)
        if self.query_up is not None:
            query = self.query_up(self.query_norm(query))
        query = query.reshape(*x.shape[:2], self.heads, self.head_dim).transpose(1, 2)
        both = self.key_value_up(self.key_norm(latent)).reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)
        key, value = both.split([self.plain, self.value_width], -1)
        query = torch.cat([query[..., :self.plain], self.rotary(query[..., self.plain:], places)], -1)
        key = torch.cat([key, self.rotary(turned[:, None], places).expand(-1, self.heads, -1, -1)], -1)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        y, weights = self.attend(query, key, value, attention_mask, **kwargs)
        return self.output(y.reshape(*x.shape[:2], -1).contiguous()), weights


class IsonormCrossAttention(Attending):
    def __init__(self, config, stack, encoded, json, layer, where, column):
        super().__init__()
        self.setup(config, {**json, "causal": False}, layer, f"{where}.cross_attention")
        self.head_dim = json["head_width"]
        self.scaling = json.get("scale", self.head_dim ** -0.5)
        self.query = Reader(stack.stream, self.heads * self.head_dim, json.get("bias", True), column)
        self.key_value = nn.Linear(encoded, 2 * self.key_value_heads * self.head_dim, bias=json.get("key_value_bias", True))
        self.output = nn.Linear(self.heads * self.head_dim, stack.stream, bias=json.get("output_bias", True))

    def forward(self, x, encoded, attention_mask=None, past_key_values=None, **kwargs):
        query = self.query(x).reshape(*x.shape[:2], self.heads, self.head_dim).transpose(1, 2)
        cache = past_key_values.cross_attention_cache if isinstance(past_key_values, EncoderDecoderCache) else None
        if cache is not None and past_key_values.is_updated.get(self.layer_idx):
            key, value = cache.layers[self.layer_idx].keys, cache.layers[self.layer_idx].values
        else:
            both = self.key_value(encoded).reshape(*encoded.shape[:2], 2, self.key_value_heads, self.head_dim)
            key, value = both[:, :, 0].transpose(1, 2), both[:, :, 1].transpose(1, 2)
            if cache is not None:
                key, value = cache.update(key, value, self.layer_idx)
                past_key_values.is_updated[self.layer_idx] = True
        y, weights = self.attend(query, key, value, attention_mask, **kwargs)
        return self.output(y.reshape(*x.shape[:2], -1).contiguous()), weights


class IsonormMLP(nn.Module):
    def __init__(self, stack, json, column):
        super().__init__()
        bias, hidden = json.get("bias", True), json["hidden"]
        self.up = Reader(stack.stream, hidden, bias, column)
        self.gate = Reader(stack.stream, hidden, bias, column) if json.get("gated") else None
        self.down = nn.Linear(hidden, stack.stream, bias=json.get("output_bias", True))
        self.inner_norm = IsonormNorm(json["inner_norm"], hidden) if json.get("inner_norm") else None
        self.activation, self.clamp = ACTIVATIONS[json["activation"]], json.get("clamp")

    def forward(self, x):
        return self.pass_through(x, self.gate, self.up, self.down)

    def pass_through(self, x, gate, up, down):
        y = up(x)
        if gate is None:
            y = self.activation(y)
        else:
            g = gate(x)
            if self.clamp:
                limit = self.clamp["limit"]
                g, y = g.clamp(max=limit), y.clamp(-limit, limit) + self.clamp.get("added", 0)
            y = self.activation(g) * y
        return down(y if self.inner_norm is None else self.inner_norm(y))


class IsonormShared(IsonormMLP):
    """The MLP beside experts that every position goes through, times a gate of its own."""

    def __init__(self, stack, json, column, bias):
        super().__init__(stack, json["mlp"], column)
        self.weight = Reader(stack.stream, 1, bias, column) if json.get("gated") else None

    def forward(self, x):
        y = super().forward(x)
        return y if self.weight is None else y * torch.sigmoid(self.weight(x))


class IsonormExperts(IsonormMLP):
    def __init__(self, stack, json, column):
        nn.Module.__init__(self)
        expert, self.routing, self.count = json["expert"], json["routing"], json["count"]
        bias, hidden = expert.get("bias", True), expert["hidden"]
        self.router = Reader(stack.stream, self.count, self.routing.get("bias", False), column)
        self.router_correction = Vector(self.count) if self.routing.get("correction") else None
        self.up = nn.ModuleList(Reader(stack.stream, hidden, bias, column) for _ in range(self.count))
        self.gate = nn.ModuleList(Reader(stack.stream, hidden, bias, column) for _ in range(self.count)) if expert.get("gated") else None
        self.down = nn.ModuleList(nn.Linear(hidden, stack.stream, bias=expert.get("output_bias", True)) for _ in range(self.count))
        self.inner_norm = IsonormNorm(expert["inner_norm"], hidden) if expert.get("inner_norm") else None
        self.activation, self.clamp = ACTIVATIONS[expert["activation"]], expert.get("clamp")
        self.shared = IsonormShared(stack, json["shared"], column, self.routing.get("bias", False)) if json.get("shared") else None

    def weights(self, outputs):
        """The chosen experts of each row, and their weights."""
        routing, outputs = self.routing, wide(outputs)
        if routing["scores"] == "sparse-mixer":
            chosen, weights, jitter = [], [], routing.get("jitter", 0)
            left = torch.zeros_like(outputs, dtype=torch.bool)
            for _ in range(2):
                best, index = outputs.masked_fill(left, -math.inf).max(-1, keepdim=True)
                far = (best - outputs) / torch.maximum(outputs.abs(), best) > 2 * jitter
                weights.append(torch.softmax(outputs.masked_fill(left | far, -math.inf), -1).gather(-1, index))
                chosen.append(index)
                left = left.scatter(-1, index, True)
            return torch.cat(chosen, -1), torch.cat(weights, -1)
        scores = torch.sigmoid(outputs) if routing["scores"] == "sigmoid" else torch.softmax(outputs, -1)
        compared = scores if self.router_correction is None else scores + self.router_correction.weight
        groups = routing.get("groups")
        if groups:
            of_groups = compared.view(-1, groups["count"], self.count // groups["count"])
            best = of_groups.topk(groups["scored_by"], -1).values.sum(-1).topk(groups["kept"], -1).indices
            kept = torch.zeros_like(of_groups[..., 0], dtype=torch.bool).scatter(-1, best, True)
            compared = of_groups.masked_fill(~kept[..., None], -math.inf).flatten(1)
        chosen = compared.topk(routing["chosen"], -1).indices
        weights = scores.gather(-1, chosen)
        if routing.get("normalized"):
            weights = weights / weights.sum(-1, keepdim=True)
        return chosen, weights * routing.get("scale", 1)

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        chosen, weights = self.weights(self.router(rows))
        y = torch.zeros_like(rows)
        for expert in range(self.count):
            row, place = torch.where(chosen == expert)
            if row.numel():
                given = self.pass_through(rows[row], None if self.gate is None else self.gate[expert], self.up[expert], self.down[expert])
                y = y.index_add(0, row, given * weights[row, place, None].to(given.dtype))
        y = y.view_as(x)
        return y if self.shared is None else y + self.shared(x)


class IsonormBlock(GradientCheckpointingLayer):
    def __init__(self, config, stack, encoded, json, layer, where):
        super().__init__()
        self.placements = {part: json.get("placement") or json[f"{part}_placement"] for part in ("attention", "mlp")}
        self.wiring, self.skip, self.branch = json["wiring"], json.get("skip", 1), json.get("branch", 1)
        self.recentre, self.dual = json.get("recentre", False), stack.dual
        norm = json["norm"]
        column = stack.compressed and norm.get("folded", "none") != "none"
        for part, placement in self.placements.items():
            before, behind = PLACEMENTS[placement]
            if before is not None and not (part == "mlp" and self.wiring == "parallel-one-norm"):
                setattr(self, f"{part}_norm", stream_norm(norm, stack))
            if behind is not None:
                setattr(self, f"{part}_output_norm", stream_norm(norm, stack))
            if json.get("layer_scale") or json.get("skip_init"):
                setattr(self, f"{part}_scale", Vector(stack.width if json.get("layer_scale") else 1))
            if json.get("gates"):
                setattr(self, f"{part}_stream_gate", Vector(1))
            if stack.skips and not (part == "mlp" and self.wiring != "sequential"):
                setattr(self, f"{part}_skip", nn.Linear(stack.stream, stack.stream, bias=False))
        if "latent_attention" in json:
            self.attention = IsonormLatentAttention(config, stack, json["latent_attention"], layer, where, column)
        else:
            self.attention = IsonormAttention(config, stack, json["attention"], layer, where, column)
        if "cross_attention" in json:
            if PLACEMENTS[self.placements["attention"]][0] is not None:
                self.cross_attention_norm = stream_norm(norm, stack)
            self.cross_attention = IsonormCrossAttention(config, stack, encoded, json["cross_attention"], layer, where, column)
        self.mlp = IsonormExperts(stack, json["experts"], column) if "experts" in json else IsonormMLP(stack, json["mlp"], column)

    def scaled(self, part, y):
        scale = getattr(self, f"{part}_scale", None)
        if scale is not None:
            y = y * scale.weight.to(y.dtype)
        return y if self.branch == 1 else self.branch * y

    def led(self, part, h):
        """What a sub-layer's output is added to: the stream in the basis of what comes next."""
        basis = getattr(self, f"{part}_skip", None)
        h = h if basis is None else basis(h)
        return h if self.skip == 1 else self.skip * h

    def join(self, part, state, layer, placed=None):
        """The stream, and the second one where there is one, behind a sub-layer."""
        h, second = state
        places = PLACEMENTS[self.placements[placed or part]]

        def norm(place, x):
            for name, where in zip(("norm", "output_norm"), places):
                if where == place:
                    x = getattr(self, f"{part}_{name}")(x)
            return x

        y = self.scaled(part, norm("branch", layer(norm("input", h))))
        second = second + y if self.dual else second
        if self.recentre and "sum" in places:
            h = h - h.mean(-1, keepdim=True)
        h = norm("sum", self.led(part, h) + y)
        gate = getattr(self, f"{part}_stream_gate", None)
        return h if gate is None else h - F.silu(gate.weight).to(h.dtype) * h, second

    def forward(self, h, second=None, attention_mask=None, places=None, past_key_values=None, table=None, encoded=None, encoded_mask=None, **kwargs):
        def attend(x):
            cache = past_key_values.self_attention_cache if isinstance(past_key_values, EncoderDecoderCache) else past_key_values
            return self.attention(x, attention_mask, places, cache, table, **kwargs)[0]

        state = h, second
        if self.wiring == "sequential":
            state = self.join("attention", state, attend)
            if hasattr(self, "cross_attention"):
                state = self.join("cross_attention", state, lambda x: self.cross_attention(x, encoded, encoded_mask, past_key_values, **kwargs)[0], "attention")
            state = self.join("mlp", state, self.mlp)
        else:
            attended = self.attention_norm(h)
            fed = attended if self.wiring == "parallel-one-norm" else self.mlp_norm(h)
            y = self.scaled("attention", attend(attended)) + self.scaled("mlp", self.mlp(fed))
            state = self.led("attention", h) + y, second
        return state if self.dual else state[0]


class IsonormTable(nn.Module):
    def __init__(self, rows, width, means=False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, width))
        self.means = nn.Parameter(torch.zeros(rows)) if means else None

    def forward(self, ids):
        return F.embedding(ids, self.weight)


class Convolution(nn.Module):
    """Over time, of all channels of a group with all; its weight is a matrix."""

    def __init__(self, inputs, outputs, kernel, bias, magnitudes=False):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs * kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.gain = nn.Parameter(torch.ones(kernel)) if magnitudes else None
        self.kernel = kernel

    def forward(self, x, stride=1, padding=0, groups=1):
        weight = self.weight.view(self.weight.shape[0], -1, self.kernel)
        if self.gain is not None:
            weight = weight * (self.gain / wide(weight).square().sum((0, 1)).sqrt()).to(weight.dtype)
        return F.conv1d(x, weight, self.bias, stride=stride, padding=padding, groups=groups)


class IsonormEmbedding(nn.Module):
    def __init__(self, stack, shared_table=False):
        super().__init__()
        self.basis = nn.Linear(stack.entry, stack.stream, bias=False) if stack.entry else None
        stack = stack.entrance
        json = stack.embedding
        self.json, self.stack, self.kind = json, stack, json["kind"]
        summed, stream = json.get("sum_projected", False), stack.stream
        if self.kind == "tokens":
            width = json["width"] if json.get("projected") else stream
            self.token = None if shared_table else IsonormTable(json["vocabulary"], width, json.get("means", False))
            self.position = IsonormTable(json["positions"], json["width"] if summed else stream) if json.get("positions") else None
            self.segment = IsonormTable(json["segments"], json["width"] if summed else stream) if json.get("segments") else None
            self.projection = nn.Linear(json["width"], stream, bias=summed) if json.get("projected") else None
        elif self.kind == "patches":
            patch, tokens = json["patch"], json.get("class_tokens", 1)
            self.patch = nn.Linear(json["channels"] * patch * patch, stream, bias=json.get("bias", True))
            for name, there in (("class_token", tokens > 0), ("distillation_token", tokens > 1), ("mask_token", json.get("mask_token"))):
                if there:
                    setattr(self, name, Vector(stream))
            self.registers = Vector(json["registers"], stream) if json.get("registers") else None
            self.steps = json.get("steps") or [patch, patch]
            height, width = (json["width"], json["height"]) if json.get("turned") else (json["height"], json["width"])
            patches = ((height - patch) // self.steps[0] + 1) * ((width - patch) // self.steps[1] + 1)
            self.position = IsonormTable(tokens + patches, stream) if json.get("learned_positions", True) else None
        else:
            self.make_sound(json, stack)
        norm = json.get("norm")
        if norm:
            self.norm = IsonormNorm(norm, json["width"]) if summed else IsonormNorm(norm, stack.width, appends=stack.compressed and self.kind != "sound")
        else:
            self.norm = None

    def make_sound(self, json, stack):
        channels, self.convolution, self.convolution_norm = json["lines"], nn.ModuleList(), nn.ModuleDict()
        for number, each in enumerate(json["convolutions"]):
            given = each["channels"] * (2 if each["activation"] == "glu" else 1)
            self.convolution.append(Convolution(channels, given, each["kernel"], each.get("bias", True)))
            channels = each["channels"]
            if each.get("norm"):
                norm = {**each["norm"], "affine": each["norm"].get("affine", "none")}
                self.convolution_norm[str(number)] = IsonormNorm(norm, channels)
        self.frame_norm = IsonormNorm(json["frame_norm"], channels) if json.get("frame_norm") else None
        self.projection = nn.Linear(channels, stack.width) if json.get("projected") else None
        if json.get("mask_token"):
            self.mask_token = Vector(stack.width)
        places = json.get("position_convolutions")
        self.position = None if places else IsonormTable(json["positions"], stack.width)
        if places:
            count, groups, kernel = places["count"], places["groups"], places["kernel"]
            each = [Convolution(stack.width // groups, stack.width, kernel, True, places.get("magnitudes", False)) for _ in range(count)]
            self.position_convolution = nn.ModuleList(each)

    def enter(self, h):
        h = self.normed(h)
        return h if self.basis is None else self.basis(h)

    def normed(self, h):
        if self.norm is not None and not self.json.get("sum_projected"):
            h = self.norm(h)
        if self.json.get("recentre"):
            if h.shape[-1] < self.stack.width:
                h = expand(h)
            h = h - h.mean(-1, keepdim=True)
        return h[..., :self.stack.stream]

    def tokens(self, ids, embeds, places, token_types, table):
        json = self.json
        h = (self.token or table)(ids) if embeds is None else embeds
        if json.get("scale", 1) != 1:
            h = h * json["scale"]
        if json.get("hidden_token") is not None:
            if ids is None:
                raise ValueError(f"config.json: embedding.hidden_token = {json['hidden_token']} asks for input_ids, got inputs_embeds")
            hidden = ids == json["hidden_token"]
            length = ids.shape[1] if places.mask is None else places.mask.sum(1, keepdim=True)
            scale = .88 / (1 - hidden.sum(1, keepdim=True).to(h.dtype) / length)
            h = h * torch.where(hidden, 0, scale)[..., None].to(h.dtype)
        if self.projection is not None and not json.get("sum_projected"):
            h = self.projection(h)
        if self.position is not None:
            h = h + self.position(self.counted(ids, h.shape[1], places) + json.get("position_offset", 0))
        if self.segment is not None:
            h = h + (self.segment.weight[0] if token_types is None else self.segment(token_types))
        elif token_types is not None and bool((token_types != 0).any()):
            raise ValueError("token_type_ids: this model has no table of segments (embedding.segments)")
        if json.get("sum_projected"):
            h = self.projection(h if self.norm is None else self.norm(h))
        return self.enter(h)

    def counted(self, ids, length, places):
        if self.json.get("padding_token") is not None:
            if ids is None:
                raise ValueError(f"config.json: embedding.padding_token = {self.json['padding_token']} asks for input_ids, got inputs_embeds")
            if places.seen:
                return places.position_ids.expand(ids.shape[0], -1)
            counts = ids != self.json["padding_token"]
            return torch.where(counts, counts.long().cumsum(1) - 1, -1)
        if self.json.get("masked_positions") and places.mask is not None:
            mask = places.mask.long()
            return (mask.cumsum(1) * mask - 1)[:, places.seen:places.seen + length]
        return places.position_ids

    def patches(self, pixels):
        json = self.json
        pixels = pixels[:, None] if pixels.dim() == 3 else pixels
        expected = [json["channels"], json["height"], json["width"]]
        if list(pixels.shape[1:]) != expected:
            raise ValueError(f"config.json: this model reads images of {expected} (channels, height, width), got {list(pixels.shape[1:])}")
        pixels = pixels.transpose(2, 3) if json.get("turned") else pixels
        cut = F.unfold(pixels.to(self.patch.weight.dtype), json["patch"], stride=tuple(self.steps)).transpose(1, 2)
        before = [getattr(self, name).weight.expand(len(pixels), 1, -1) for name in ("class_token", "distillation_token") if hasattr(self, name)]
        h = torch.cat([*(each.to(cut.dtype) for each in before), self.patch(cut)], 1)
        if self.position is not None:
            h = h + self.position.weight
        if self.registers is not None:
            count = len(before)
            h = torch.cat([h[:, :count], self.registers.weight.expand(len(pixels), -1, -1).to(h.dtype), h[:, count:]], 1)
        return self.enter(h)

    def sound(self, values, mask):
        json = self.json
        if mask is not None and not bool(mask.all()):
            raise ValueError("attention_mask: of sounds all frames are read; give each sound by itself")
        x = values[:, None] if values.dim() == 2 else values.transpose(1, 2) if json.get("turned") else values
        if x.shape[1] != json["lines"] or json.get("frames") and x.shape[2] != json["frames"]:
            raise ValueError(f"config.json: this model reads {json['lines']} values a frame and {json.get('frames', 'any number of')} frames, got {x.shape[1]} "
                             f"and {x.shape[2]}")
        for number, (each, convolution) in enumerate(zip(json["convolutions"], self.convolution)):
            x = convolution(x.to(convolution.weight.dtype), each.get("stride", 1), each.get("padding", 0))
            if str(number) in self.convolution_norm:
                norm = self.convolution_norm[str(number)]
                if each["norm_over"] == "time":
                    y = F.layer_norm(wide(x), x.shape[-1:], None, None, norm.epsilon)
                    y = y if norm.gain is None else y * norm.gain[:, None]
                    x = (y if norm.bias is None else y + norm.bias[:, None]).to(x.dtype)
                else:
                    x = norm(x.transpose(1, 2)).transpose(1, 2)
            x = F.glu(x, 1) if each["activation"] == "glu" else ACTIVATIONS[each["activation"]](x)
        h = x.transpose(1, 2)
        if self.frame_norm is not None:
            h = self.frame_norm(h)
        if self.projection is not None:
            h = self.projection(h)
        places = json.get("position_convolutions")
        if places:
            x = h.transpose(1, 2)
            for convolution in self.position_convolution:
                x = convolution(x, padding=places["kernel"] // 2, groups=places["groups"])[..., :h.shape[1]]
                if places.get("norm"):
                    x = F.layer_norm(wide(x).transpose(1, 2), (x.shape[1],), None, None, places["norm"]["epsilon"]).transpose(1, 2).to(x.dtype)
                x = ACTIVATIONS[places["activation"]](x)
            added = x.transpose(1, 2)
        else:
            offset = json.get("position_offset", 0)
            added = self.position.weight[offset:offset + h.shape[1]]
        return self.enter(h * json.get("scale", 1) + added)


class IsonormPooler(nn.Module):
    def __init__(self, stack):
        super().__init__()
        json, width = stack.output, stack.width
        probe, projection = json.get("probe"), json.get("projection")
        if json["pooler"] == "dense-tanh":
            self.weight, self.bias = nn.Parameter(torch.zeros(width, stack.final_width)), nn.Parameter(torch.zeros(width))
        if probe:
            self.heads, self.activation = probe["heads"], ACTIVATIONS[probe["mlp"]["activation"]]
            self.probe = Vector(width)
            self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
            self.norm = IsonormNorm(probe["norm"], width)
            self.up, self.down = nn.Linear(width, probe["mlp"]["hidden"]), nn.Linear(probe["mlp"]["hidden"], width)
        self.projection = nn.Linear(width, projection["width"], bias=projection.get("bias", False)) if projection else None

    def ask(self, y):
        """What the learned vector gets from all d values of all positions."""
        def in_heads(x):
            return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

        query = in_heads(self.query(self.probe.weight)[None, None].expand(len(y), 1, -1))
        asked = F.scaled_dot_product_attention(query, in_heads(self.key(y)), in_heads(self.value(y)))
        a = self.output(asked.transpose(1, 2).reshape(len(y), -1))
        return a + self.down(self.activation(self.up(self.norm(a))))


def build(module, config, stack, where, encoded=None, shared_table=False):
    module.stack = stack
    module.embedding = IsonormEmbedding(stack, shared_table)
    module.blocks = nn.ModuleList(
        [IsonormBlock(config, stack, encoded, json, layer, f"{where}.blocks[{layer}]") for layer, json in enumerate(stack.blocks)])
    module.final_norm = stream_norm(stack.final_norm, stack.ending) if stack.final_norm else None
    output = stack.output
    pooled = output["kind"] == "hidden" and (output["pooler"] in ("dense-tanh", "probe") or output.get("projection"))
    module.pooler = IsonormPooler(stack.ending) if pooled else None
    if stack.exit:
        module.output = nn.Module()
        module.output.basis = nn.Linear(stack.stream, stack.exit, bias=False)
    module.gradient_checkpointing = False


def masks(config, stack, blocks, h, attention_mask, past, position_ids):
    """A function from a block to its mask, each made once."""
    made = {}

    def of(block):
        kind, window, causal = block.attention.mask_kind, block.attention.window, block.attention.is_causal
        if (kind, window, causal) not in made:
            asked = copy.copy(config)
            asked._attn_implementation = kind
            arguments = dict(config=asked, inputs_embeds=h, attention_mask=attention_mask)
            if causal:
                asked.sliding_window = window
                make = create_sliding_window_causal_mask if window else create_causal_mask
                mask = make(past_key_values=past, position_ids=position_ids, **arguments)
            else:
                asked.sliding_window = window - 1 if window else None  # as far as that is seen on both sides
                make = create_bidirectional_sliding_window_mask if window else create_bidirectional_mask
                mask = make(**arguments)
            made[kind, window, causal] = mask
        return made[kind, window, causal]

    return of


def walk(module, h, places, past_key_values=None, position_ids=None, attention_mask=None, encoded=None, encoded_mask=None, **kwargs):
    """The stream behind the last block, and what the final norm gives."""
    stack = module.stack
    past = past_key_values.self_attention_cache if isinstance(past_key_values, EncoderDecoderCache) else past_key_values
    mask_of = masks(module.config, stack, module.blocks, h, attention_mask, past, position_ids)
    second = h if stack.dual else None
    table = module.blocks[0].attention.relative_bias.weight if len(module.blocks) and hasattr(module.blocks[0].attention, "relative_bias") else None
    for block in module.blocks:
        h = block(h, second, attention_mask=mask_of(block), places=places, past_key_values=past_key_values, table=table, encoded=encoded,
                  encoded_mask=encoded_mask, **kwargs)
        h, second = h if stack.dual else (h, None)
    if stack.dual:
        return h, h + module.final_norm(second)
    if stack.exit:
        h = module.output.basis(h)
    return h, h if module.final_norm is None else module.final_norm(h)


def whole(x, stack):
    """All d values."""
    return expand(x) if stack.compressed and x.shape[-1] < stack.width else x


def pooled(module, h, y, ids, mask):
    """The pooled vector, of the bare stream h or of what the final norm gives, and the output."""
    stack, output = module.stack, module.stack.output
    kind = output["pooler"] if output["kind"] == "hidden" else output.get("pooling")
    if kind in ("normed-first", "normed-mean"):
        read = h[:, 0] if kind == "normed-first" else h[:, stack.first_patch:].mean(1)
        given, y = whole(module.final_norm(read), stack), h
    elif output["kind"] != "hidden" or kind == "none":
        return None, whole(y, stack)
    elif kind == "first":
        given = whole(y[:, 0], stack)
    elif kind == "last":
        given = whole(y[:, -1], stack)
    elif kind == "mean-of-two":
        given = whole(y[:, :2].mean(1), stack)
    elif kind == "end":
        if ids is None:
            raise ValueError("config.json: output.pooler = 'end' asks for input_ids, got inputs_embeds")
        end = stack.embedding.get("end_token")
        at = (ids if end is None else (ids == end).int()).argmax(-1)
        given = whole(y[torch.arange(len(y), device=y.device), at.to(y.device)], stack)
    elif kind == "dense-tanh":
        given = torch.tanh(F.linear(y[:, 0], module.pooler.weight, module.pooler.bias))
    else:
        given = module.pooler.ask(whole(y, stack))
    if module.pooler is not None and module.pooler.projection is not None:
        given = module.pooler.projection(given)
    return given, whole(y, stack)


class IsonormPreTrainedModel(PreTrainedModel):
    config: IsonormConfig
    config_class = IsonormConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["IsonormBlock"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": IsonormBlock, "attentions": [IsonormAttention, IsonormLatentAttention]}

    # With norms that apply nothing and all matrices in few bits there is no parameter that transformers could ask.
    @property
    def device(self):
        return next(value for values in (self.parameters(), self.buffers()) for value in values).device

    @property
    def dtype(self):
        few = next((module for module in self.modules() if isinstance(module, FewBits)), None)
        return super().dtype if few is None else few.like.dtype

    def _init_weights(self, module):
        if isinstance(module, (FewBits, TableAsHead)):
            return
        super()._init_weights(module)
        if isinstance(module, IsonormNorm):
            for name, value in (("gain", 1), ("bias", 0), ("alpha", .5), ("folded_gain", 1), ("folded_bias", 0)):
                if getattr(module, name, None) is not None:
                    init.constant_(getattr(module, name), value)
        elif isinstance(module, (IsonormTable, Convolution, IsonormHead)):
            init.normal_(module.weight, std=.02)
        if isinstance(module, IsonormBlock):
            for part in ("attention", "mlp"):
                scale = getattr(module, f"{part}_scale", None)
                if scale is not None:
                    init.ones_(scale.weight)

    def resize_token_embeddings(self, *args, **kwargs):
        raise ValueError("config.json: architecture.embedding.vocabulary is what the table has rows, and a conversion's other tensors depend on it; "
                         "resize the original model and convert it again")

    def get_input_embeddings(self):
        base = self.model if hasattr(self, "model") else self
        embedding = base.embedding
        return embedding.token if embedding.kind == "tokens" else embedding.patch if embedding.kind == "patches" else embedding.convolution[0]

    def set_input_embeddings(self, value):
        base = self.model if hasattr(self, "model") else self
        if base.embedding.kind != "tokens":
            raise ValueError("only a table of tokens can be replaced")
        base.embedding.token = value


@dataclass
class IsonormOutput(ModelOutput):
    last_hidden_state: torch.FloatTensor | None = None
    pooler_output: torch.FloatTensor | None = None
    past_key_values: object | None = None
    hidden_states: tuple | None = None
    attentions: tuple | None = None
    encoder_last_hidden_state: torch.FloatTensor | None = None


@dataclass
class IsonormSimilarityOutput(ModelOutput):
    logits_per_image: torch.FloatTensor | None = None
    logits_per_text: torch.FloatTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    image_embeds: torch.FloatTensor | None = None


def run(module, config, ids=None, mask=None, position_ids=None, past=None, embeds=None, token_types=None, pixels=None, sound=None, table=None, **kwargs):
    """One stack: the bare stream, what the final norm gives, and the pooled vector with the output."""
    refuse_unread(kwargs)
    embedding = module.embedding
    given = {"tokens": (ids is not None) + (embeds is not None), "patches": (pixels is not None) + (sound is not None), "sound": sound is not None}
    asked = {"tokens": "either input_ids or inputs_embeds", "patches": "pixel_values", "sound": "input_values or input_features"}
    if given[embedding.kind] != 1:
        raise ValueError(f"this model reads {asked[embedding.kind]}")
    if embedding.kind != "tokens":
        h = embedding.patches(pixels if pixels is not None else sound) if embedding.kind == "patches" else embedding.sound(sound, mask)
        position_ids, mask = torch.arange(h.shape[1], device=h.device)[None], None
        places = Places(position_ids)
    else:
        first = ids if ids is not None else embeds
        seen = past.get_seq_length() if past is not None else 0
        seen = int(seen)
        if position_ids is None:
            position_ids = (torch.arange(first.shape[1], device=first.device) + seen)[None]
        if mask is not None and mask.dim() != 2 and any(block.attention.adds == "alibi" for block in module.blocks):
            raise ValueError("attention_mask: biases of distances (attention.alibi) ask for a mask of (batch, tokens)")
        places = Places(position_ids, seen, mask if mask is not None and mask.dim() == 2 else None)
        h = embedding.tokens(ids, embeds, places, token_types, table)
    if mask is not None and not isinstance(mask, torch.Tensor):
        raise ValueError("attention_mask: one mask for all blocks is read, (batch, tokens)")
    h, y = walk(module, h, places, past_key_values=past, position_ids=position_ids, attention_mask=mask, **kwargs)
    return *pooled(module, h, y, ids, mask), places


class IsonormEncoder(IsonormPreTrainedModel):
    """The stack beside a decoder."""

    def __init__(self, config, shared=None):
        super().__init__(config)
        stack = config.companion()
        self.main_input_name = "input_ids" if stack.embedding["kind"] == "tokens" else "input_features"
        build(self, config, stack, "architecture.companion.architecture", shared_table=shared is not None)
        self.shared = [shared]  # in a list, so that it is nobody's parameter but the decoder's
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None, input_features=None, input_values=None, token_type_ids=None, return_dict=None, **kwargs):
        kwargs.pop("use_cache", None)
        sound = input_features if input_features is not None else input_values
        _, y, _ = run(self, self.config, input_ids, attention_mask, embeds=inputs_embeds, token_types=token_type_ids, sound=sound, table=self.shared[0], **kwargs)
        return BaseModelOutput(last_hidden_state=y)


class IsonormModel(IsonormPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        stack, companion = config.stack(), config.companion_kind
        if companion == "image":
            raise ValueError("config.json: architecture.companion.kind = 'image' is two towers; load them as IsonormTwoTowerModel (AutoModel does)")
        self.main_input_name = {"tokens": "input_ids", "patches": "pixel_values", "sound": "input_values"}[stack.embedding["kind"]]
        encoder = config.companion() if companion else None
        build(self, config, stack, "architecture", encoder.final_width if encoder else None)
        if encoder:
            self.encoder = IsonormEncoder(config, self.embedding.token if config.architecture["companion"].get("shares_table") else None)
        to_few_bits(self, config)
        self.post_init()

    def get_encoder(self, modality=None):
        return self.encoder if hasattr(self, "encoder") else self

    @merge_with_config_defaults
    @capture_outputs
    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None, use_cache=None, pixel_values=None,
                input_values=None, input_features=None, token_type_ids=None, decoder_input_ids=None, decoder_attention_mask=None, encoder_outputs=None, **kwargs):
        sound = input_features if input_features is not None else input_values
        beside = {}
        if hasattr(self, "encoder"):
            if encoder_outputs is None:
                encoder_outputs = self.encoder(input_ids, attention_mask, inputs_embeds, input_features, input_values, token_type_ids)
            encoded = encoder_outputs[0]
            asked = encoded[..., :self.encoder.stack.final_width]
            input_ids, inputs_embeds, token_type_ids, sound = decoder_input_ids, None, None, None
            encoder_mask = attention_mask if self.encoder.embedding.kind == "tokens" else None
            attention_mask = decoder_attention_mask
            if input_ids is None:
                raise ValueError("a decoder reads decoder_input_ids")
            beside = {"encoded": asked, "encoded_mask": encoder_mask}
        causal = self.stack.causal and self.embedding.kind == "tokens"
        if causal and use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
            if hasattr(self, "encoder"):
                past_key_values = EncoderDecoderCache(past_key_values, DynamicCache(config=self.config))
        if not causal:
            past_key_values = None
        if beside:
            first = torch.empty(*input_ids.shape, 1, dtype=encoded.dtype, device=encoded.device)
            beside["encoded_mask"] = create_bidirectional_mask(
                config=self.config, inputs_embeds=first, attention_mask=beside["encoded_mask"], encoder_hidden_states=encoded)
        vector, y, _ = run(self, self.config, input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, token_type_ids, pixel_values, sound,
                           **beside, **kwargs)
        return IsonormOutput(last_hidden_state=y, pooler_output=vector, past_key_values=past_key_values,
                             encoder_last_hidden_state=encoder_outputs[0] if beside else None)


class IsonormTower(nn.Module):
    def __init__(self, config, stack):
        super().__init__()
        self.config = config
        build(self, config, stack, "architecture.companion.architecture")


class IsonormTwoTowerModel(IsonormPreTrainedModel):
    """How near images and texts are."""

    base_model_prefix = ""

    def __init__(self, config):
        super().__init__(config)
        self.main_input_name = "input_ids"
        build(self, config, config.stack(), "architecture")
        self.image = IsonormTower(config, config.companion())
        self.similarity = nn.Module()
        self.similarity.scale = Vector(1)
        self.similarity.bias = Vector(1) if config.architecture["companion"].get("bias") else None
        to_few_bits(self, config)
        self.post_init()

    def get_text_features(self, input_ids=None, attention_mask=None, position_ids=None, inputs_embeds=None, token_type_ids=None, **kwargs):
        return run(self, self.config, input_ids, attention_mask, position_ids, embeds=inputs_embeds, token_types=token_type_ids, **kwargs)[0]

    def get_image_features(self, pixel_values=None, **kwargs):
        return run(self.image, self.config, pixels=pixel_values, **kwargs)[0]

    def forward(self, input_ids=None, pixel_values=None, attention_mask=None, position_ids=None, return_dict=None, **kwargs):
        texts = F.normalize(self.get_text_features(input_ids, attention_mask, position_ids, **kwargs), dim=-1)
        images = F.normalize(self.get_image_features(pixel_values, **kwargs), dim=-1)
        near = texts @ images.T * self.similarity.scale.weight.exp()
        near = near if self.similarity.bias is None else near + self.similarity.bias.weight
        return IsonormSimilarityOutput(logits_per_image=near.T, logits_per_text=near, text_embeds=texts, image_embeds=images)


class IsonormHead(nn.Module):
    """Words or labels from what the final norm gives."""

    def __init__(self, stack):
        super().__init__()
        json, reads = stack.output, stack.final_width
        carried, stack = stack.entrance.stream, stack.ending
        self.json, self.stack, words = json, stack, json["kind"] == "words"
        rows = stack.embedding["vocabulary"] if words else json["labels"]
        self.scale, self.softcap = json.get("scale", 1), json.get("softcap")
        if json.get("projected_width"):
            self.projection = nn.Linear(reads, json["projected_width"], bias=False)
            reads = json["projected_width"]
        if json.get("pooling") == "first-and-mean":
            reads = 2 * reads
        transform = json.get("transform")
        self.transforms = bool(transform)
        if transform:
            width = transform.get("width", stack.width)
            if "activation" in transform:
                self.transform = nn.Linear(reads, width, bias=transform.get("bias", True))
                self.activation = ACTIVATIONS.get(transform["activation"])
                reads = width
            else:
                reads = stack.width
            self.transform_norm = IsonormNorm(transform["norm"], reads) if transform.get("norm") else None
        column = stack.compressed and bool(stack.final_norm) and stack.final_norm.get("folded", "none") != "none"
        self.tied = words and json.get("tied", False)
        # A table of a compressed stream has a column less than the head reads.
        self.reads_difference = self.tied and stack.compressed and not stack.embedding.get("projected")
        width = (stack.embedding["width"] if stack.embedding.get("projected") else carried) if self.tied else reads
        self.weight = nn.Parameter(torch.zeros(rows, width))
        self.bias = nn.Parameter(torch.zeros(rows)) if json.get("bias", not words) else None
        if column and not self.tied:
            self.register_buffer("column", torch.zeros(rows))
        if json.get("pooling") == "each-of-two":
            self.distilled = nn.Linear(reads, rows, bias=json.get("bias", True))

    def transformed(self, y):
        if hasattr(self, "projection"):
            y = self.projection(y)
        if self.transforms:
            y = self.transform(y) if hasattr(self, "transform") else whole(y, self.stack)
            y = y if getattr(self, "activation", None) is None else self.activation(y)
            y = y if self.transform_norm is None else self.transform_norm(y)
        return y

    def forward(self, y, means=None):
        x = y = self.transformed(y)
        if self.reads_difference:
            y = whole(y, self.stack)
            x = y[..., :-1] - y[..., -1:]
        logits = F.linear(x, self.weight, self.bias)
        if self.tied and means is not None:
            logits = logits + means.to(y.dtype) * y.sum(-1, keepdim=True)
        logits = logits if self.scale == 1 else logits * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)


class IsonormWithHead(IsonormPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.model = IsonormModel(config)
        self.main_input_name = self.model.encoder.main_input_name if config.is_encoder_decoder else self.model.main_input_name
        self.head = IsonormHead(self.model.stack)
        if self.model.stack.output["kind"] == "words":
            self.vocab_size = config.vocab_size
        to_few_bits(self, config)
        if self.head.tied and isinstance(self.model.embedding.token, FewBits):
            del self.head.weight
            self.head.table, self._tied_weights_keys = [self.model.embedding.token], {}
            become(self.head, TableAsHead)
        self.post_init()

    def get_encoder(self, modality=None):
        return self.model.get_encoder()

    def given(self, outputs):
        """What the final norm gives, of the d values that a model gives."""
        return outputs.last_hidden_state[..., :self.model.stack.final_width]


class IsonormWithWords(IsonormWithHead):
    _tied_weights_keys = {"head.weight": "model.embedding.token.weight"}

    def get_output_embeddings(self):
        return self.head

    def set_output_embeddings(self, value):
        self.head = value

    @staticmethod
    def create_masks_for_generate(attention_mask=None, **kwargs):
        """Blocks differ in what their masks look like: forward makes them."""
        return attention_mask

    def logits(self, outputs, kept=slice(None)):
        return self.head(self.given(outputs)[:, kept], self.model.embedding.token.means)


class IsonormForCausalLM(IsonormWithWords, GenerationMixin):
    def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None, labels=None, use_cache=None,
                logits_to_keep=0, token_type_ids=None, **kwargs):
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=past_key_values,
                             inputs_embeds=inputs_embeds, use_cache=use_cache, token_type_ids=token_type_ids, **kwargs)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.logits(outputs, kept)
        loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.vocab_size, **kwargs) if labels is not None else None
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=outputs.past_key_values, hidden_states=outputs.hidden_states,
                                      attentions=outputs.attentions)


class IsonormForMaskedLM(IsonormWithWords):
    def forward(self, labels=None, **kwargs):
        outputs = self.model(**kwargs)
        logits = self.logits(outputs)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten()) if labels is not None else None
        return MaskedLMOutput(loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions)


class IsonormForConditionalGeneration(IsonormWithWords, GenerationMixin):
    def forward(self, input_ids=None, attention_mask=None, decoder_input_ids=None, decoder_attention_mask=None, encoder_outputs=None, past_key_values=None,
                labels=None, use_cache=None, input_features=None, input_values=None, decoder_position_ids=None, **kwargs):
        if labels is not None and decoder_input_ids is None:
            if self.config.decoder_start_token_id is None:
                raise ValueError("config.json says no decoder_start_token_id; give decoder_input_ids beside labels")
            decoder_input_ids = F.pad(labels, (1, 0), value=self.config.decoder_start_token_id)[:, :-1]
            decoder_input_ids = decoder_input_ids.masked_fill(decoder_input_ids == -100, self.config.pad_token_id or 0)
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=decoder_input_ids,
                             decoder_attention_mask=decoder_attention_mask, encoder_outputs=encoder_outputs, past_key_values=past_key_values,
                             position_ids=decoder_position_ids, use_cache=use_cache, input_features=input_features, input_values=input_values, **kwargs)
        logits = self.logits(outputs)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten()) if labels is not None else None
        return Seq2SeqLMOutput(loss=loss, logits=logits, past_key_values=outputs.past_key_values, decoder_hidden_states=outputs.hidden_states,
                               decoder_attentions=outputs.attentions, encoder_last_hidden_state=outputs.encoder_last_hidden_state)


class IsonormWithLabels(IsonormWithHead):
    def logits(self, outputs, mask, ids):
        stack, kind, y = self.model.stack, self.model.stack.output["pooling"], self.given(outputs)
        if kind == "every":
            return self.head(y)
        if kind == "patches":
            return self.head(y[:, stack.first_patch:])
        if kind == "first":
            return self.head(y[:, 0])
        if kind == "first-and-mean":
            return self.head(torch.cat([y[:, 0], y[:, stack.first_patch:].mean(1)], -1))
        if kind == "mean":
            if mask is None or stack.embedding["kind"] != "tokens":
                return self.head(y.mean(1))
            kept = mask.to(y.dtype)[..., None]
            return self.head((y * kept).sum(1) / kept.sum(1))
        if kind == "last":
            # The rightmost that is no padding, which is told by a mask or, as everywhere in transformers, by its id.
            pad = self.config.pad_token_id
            seen = mask if mask is not None else ids != pad if ids is not None and pad is not None else y.new_ones(y.shape[:2])
            last = (torch.arange(y.shape[1], device=y.device) * seen.to(y.device, torch.int64)).argmax(-1)
            return self.head(y[torch.arange(len(y), device=y.device), last])
        if kind == "mean-of-two":
            return self.head(y[:, :2].mean(1))
        if kind == "each-of-two":
            return (self.head(y[:, 0]) + self.head.distilled(y[:, 1])) / 2
        return self.head(outputs.pooler_output[..., :stack.final_width])

    def forward(self, labels=None, attention_mask=None, **kwargs):
        outputs = self.model(attention_mask=attention_mask, **kwargs)
        logits = self.logits(outputs, attention_mask, kwargs.get("input_ids"))
        return self.given_output(loss=self.loss(logits, labels, **kwargs) if labels is not None else None, logits=logits, hidden_states=outputs.hidden_states,
                                 attentions=outputs.attentions)

    def loss(self, logits, labels, **kwargs):
        if logits.dim() == 3:
            return F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        if logits.shape[-1] == 1:
            return F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
        return F.cross_entropy(logits, labels) if labels.dim() == 1 else F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))


class IsonormForSequenceClassification(IsonormWithLabels):
    given_output = SequenceClassifierOutput


class IsonormForTokenClassification(IsonormWithLabels):
    given_output = TokenClassifierOutput


class IsonormForImageClassification(IsonormWithLabels):
    given_output = ImageClassifierOutput


class IsonormForMaskedImageModeling(IsonormWithLabels):
    given_output = ImageClassifierOutput


class IsonormForAudioClassification(IsonormWithLabels):
    given_output = SequenceClassifierOutput


class IsonormForCTC(IsonormWithLabels):
    given_output = CausalLMOutput

    def loss(self, logits, labels, **kwargs):
        raise ValueError("labels: the loss of CTC is not computed here; give logits to torch.nn.functional.ctc_loss")


# The format names a tensor by its role and knows no base model inside another.
for with_head in (IsonormForCausalLM, IsonormForMaskedLM, IsonormForConditionalGeneration, IsonormForSequenceClassification, IsonormForTokenClassification,
                  IsonormForImageClassification, IsonormForMaskedImageModeling, IsonormForAudioClassification, IsonormForCTC):
    register_checkpoint_conversion_mapping(
        with_head.__name__, [WeightRenaming(r"^(embedding|blocks|final_norm|output|pooler|encoder)\.", r"model.\1.")], overwrite=True)

__all__ = [
    "IsonormPreTrainedModel", "IsonormModel", "IsonormTwoTowerModel", "IsonormForCausalLM", "IsonormForMaskedLM", "IsonormForConditionalGeneration",
    "IsonormForSequenceClassification", "IsonormForTokenClassification", "IsonormForImageClassification", "IsonormForMaskedImageModeling",
    "IsonormForAudioClassification", "IsonormForCTC",
]
