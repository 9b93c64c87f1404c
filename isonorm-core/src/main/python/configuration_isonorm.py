"""The config.json of a checkpoint in Isonorm's own format, for Hugging Face transformers 5. Isonorm's docs/format.md says what each key means.

What a checkpoint says and modeling_isonorm.py does not know ends in an error that names the key: nothing is left out of what is computed.
"""

import copy

from transformers.configuration_utils import PreTrainedConfig

CODE_VERSION = 1  # of these two files
FORMAT_VERSIONS = (1, 2)  # what they read

NORMS = ("layernorm", "rmsnorm", "crmsnorm", "dyt")
ACTIVATIONS = ("gelu", "gelu-tanh", "quick-gelu", "relu", "relu-squared", "silu", "tanh")
PLACEMENTS = ("pre", "post", "peri", "output", "both", "dual", "none")
SPECIAL_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")

NORM = {"kind": NORMS, "epsilon": None, "affine": ("none", "gain", "gain-and-bias"), "folded": ("none", "gain", "gain-and-bias")}
MLP = {"hidden": None, "activation": ACTIVATIONS, "gated": None, "clamp": {"limit": None, "added": None}, "inner_norm": NORM, "bias": None, "output_bias": None}
ROTARY = {
    "width": None, "divisor": None, "base": None, "pairing": ("halves", "neighbours"), "grid": {"rows": None, "columns": None, "before": None},
    "scaling": {
        "kind": ("none", "linear", "llama3", "yarn", "longrope", "dynamic", "proportional"), "factor": None, "low_frequency_factor": None,
        "high_frequency_factor": None, "original_context": None, "from": None, "to": None, "magnitude": None, "factors": None, "long_factors": None,
        "pairs": None,
    },
}
ATTENTION = {
    "heads": None, "key_value_heads": None, "head_width": None, "causal": None, "scale": None, "window": None, "rotary": ROTARY,
    "alibi": ("after-scale", "before-scale-bfloat16", "after-scale-interleaved"),
    "relative_bias": {"buckets": None, "furthest": None, "bidirectional": None, "rows": None, "columns": None, "own": None,
                      "gates": ("none", "shared", "each-head")},
    "query_key_norm": {"span": ("head", "each-head", "projection"), "norm": NORM}, "value_norm": NORM, "inner_norm": NORM, "head_scales": None,
    "softcap": None, "sinks": None, "clip": None, "bias": None, "key_bias": None, "output_bias": None,
}
LATENT = {
    "heads": None, "query_rank": None, "key_value_rank": None, "plain_width": None, "value_width": None, "causal": None, "scale": None, "rotary": ROTARY,
    "norm": NORM, "bias": None, "output_bias": None,
}
CROSS = {"heads": None, "key_value_heads": None, "head_width": None, "scale": None, "bias": None, "key_value_bias": None, "output_bias": None}
EXPERTS = {
    "count": None, "expert": MLP, "shared": {"mlp": MLP, "gated": None},
    "routing": {
        "chosen": None, "scores": ("softmax", "sigmoid", "sparse-mixer"), "jitter": None, "normalized": None, "scale": None,
        "groups": {"count": None, "kept": None, "scored_by": None}, "bias": None, "correction": None,
    },
}
BLOCK = {
    "repeat": None, "placement": PLACEMENTS, "attention_placement": PLACEMENTS, "mlp_placement": PLACEMENTS,
    "wiring": ("sequential", "parallel", "parallel-one-norm"), "norm": NORM, "skip": None, "branch": None, "layer_scale": None, "skip_init": None,
    "gates": None, "recentre": None, "attention": ATTENTION, "latent_attention": LATENT, "cross_attention": CROSS, "mlp": MLP, "experts": EXPERTS,
}
CONVOLUTION = {
    "channels": None, "kernel": None, "stride": None, "padding": None, "bias": None, "norm": NORM, "norm_over": ("channels", "time"),
    "activation": (*ACTIVATIONS, "glu"),
}
EMBEDDING = {
    "tokens": {
        "kind": None, "vocabulary": None, "width": None, "positions": None, "position_offset": None, "masked_positions": None, "segments": None,
        "projected": None, "sum_projected": None, "scale": None, "means": None, "padding_token": None, "hidden_token": None, "end_token": None,
        "norm": NORM, "recentre": None,
    },
    "patches": {
        "kind": None, "height": None, "width": None, "patch": None, "channels": None, "bias": None, "mask_token": None, "steps": None, "turned": None,
        "class_tokens": None, "registers": None, "learned_positions": None, "norm": NORM, "recentre": None,
    },
    "sound": {
        "kind": None, "lines": None, "frames": None, "turned": None, "convolutions": [CONVOLUTION], "projected": None, "frame_norm": NORM, "scale": None,
        "positions": None, "position_offset": None, "mask_token": None, "norm": NORM, "recentre": None,
        "position_convolutions": {"count": None, "kernel": None, "groups": None, "norm": NORM, "activation": ACTIVATIONS, "magnitudes": None},
    },
}
TRANSFORM = {"activation": (*ACTIVATIONS, "none"), "width": None, "bias": None, "norm": NORM}
OUTPUT = {
    "words": {"kind": None, "tied": None, "bias": None, "projected_width": None, "transform": TRANSFORM, "scale": None, "softcap": None},
    "labels": {
        "kind": None, "labels": None, "transform": TRANSFORM, "bias": None,
        "pooling": ("first", "first-and-mean", "every", "patches", "last", "mean", "mean-of-two", "each-of-two", "normed-mean"),
    },
    "hidden": {
        "kind": None, "probe": {"heads": None, "norm": NORM, "mlp": MLP}, "projection": {"width": None, "bias": None},
        "pooler": ("none", "first", "dense-tanh", "normed-first", "mean-of-two", "normed-mean", "last", "end", "probe"),
    },
}


def require(json, known, where):
    """Refuses what these files would not compute: a key they do not know, or a word."""
    for key, value in json.items():
        place = f"{where}.{key}"
        if key not in known:
            raise ValueError(f"config.json: {place} = {value!r} is not known to these files (version {CODE_VERSION}); a newer Isonorm writes newer ones")
        allowed = known[key]
        if isinstance(allowed, tuple) and value not in allowed:
            raise ValueError(f"config.json: {place} = {value!r} is none of {', '.join(allowed)}, which these files (version {CODE_VERSION}) know")
        if isinstance(allowed, dict):
            require(value, allowed, place)
        if isinstance(allowed, list):
            for each in value:
                require(each, allowed[0], place)


class Stack:
    """What an `architecture` object says of one stack, its blocks written out."""

    def __init__(self, json, where="architecture"):
        known = {"family", "width", "context", "stream", "embedding", "blocks", "final_norm", "output", "bases", "companion"}
        require(json, {key: ("free", "centred", "compressed") if key == "stream" else None for key in known}, where)
        self.width, self.context = json["width"], json["context"]
        self.compressed = json.get("stream") == "compressed"
        self.stream = self.width - self.compressed  # how many values of a vector are carried
        self.embedding, self.output, self.final_norm = json["embedding"], json["output"], json.get("final_norm")
        for part, tables in (("embedding", EMBEDDING), ("output", OUTPUT)):
            kind = json[part].get("kind")
            if kind not in tables:
                raise ValueError(f"config.json: {where}.{part}.kind = {kind!r} is none of {', '.join(tables)}, which these files (version {CODE_VERSION}) know")
            require(json[part], tables[kind], f"{where}.{part}")
        if self.final_norm:
            require(self.final_norm, NORM, f"{where}.final_norm")
        self.blocks = []
        for number, block in enumerate(json["blocks"]):
            require(block, BLOCK, f"{where}.blocks[{number}]")
            self.blocks += [block] * block.get("repeat", 1)
        self.dual = bool(self.blocks) and self.blocks[0].get("placement") == "dual"
        bases = json.get("bases") or {}
        require(bases, {"entry": None, "skips": None, "exit": None}, f"{where}.bases")
        # How many values stand before and behind the matrices through which the stream is entered and left, and whether there are some on its skips.
        self.entry, self.skips, self.exit = bases.get("entry"), bases.get("skips", False), bases.get("exit")
        affine = bool(self.final_norm) and self.final_norm.get("affine", "none") != "none"
        self.final_width = self.exit or (self.width if affine else self.stream)  # what the final norm gives
        self.causal = all(self.mixer(block).get("causal", True) for block in self.blocks)

    def of(self, width):
        """The same of a stream of another width, which is carried whole, where there is one."""
        other = copy.copy(self)
        if width:
            other.width = other.stream = other.final_width = width
            other.compressed = False
        return other

    @property
    def entrance(self):
        """As what stands before the matrix through which the stream is entered has it."""
        return self.of(self.entry)

    @property
    def ending(self):
        """As what stands behind the matrix through which it is left has it."""
        return self.of(self.exit)

    @staticmethod
    def mixer(block):
        return block.get("attention") or block["latent_attention"]

    @property
    def tied(self):
        return bool(self.output.get("tied", False))

    @property
    def windows(self):
        return [block["attention"].get("window") if "attention" in block else None for block in self.blocks]

    @property
    def first_patch(self):
        return self.embedding.get("class_tokens", 1) + self.embedding.get("registers", 0) if self.embedding["kind"] == "patches" else 1


class IsonormConfig(PreTrainedConfig):
    model_type = "isonorm"
    keys_to_ignore_at_inference = ["past_key_values"]

    format_version: int = 1
    form: str | None = None
    isonorm_version: str | None = None
    architecture: dict | None = None
    source_config: dict | None = None
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    decoder_start_token_id: int | None = None
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        if self.format_version not in FORMAT_VERSIONS:
            raise ValueError(f"config.json: format_version = {self.format_version} is newer than these files, which read {FORMAT_VERSIONS[-1]} at most; "
                             "a newer Isonorm writes newer ones")
        self.derive()
        super().__post_init__(**kwargs)
        how = getattr(self, "quantization_config", None)
        if how and how.get("quant_method") != "isonorm":
            raise ValueError(f"config.json: quantization_config.quant_method = {how.get('quant_method')!r} is not known to these files; Isonorm's own is 'isonorm'")

    def derive(self):
        """What transformers asks for, from what the architecture says."""
        if not self.architecture:
            return
        stack = self.stack()
        source = self.source_config or {}
        for key in SPECIAL_TOKENS:
            if getattr(self, key) is None and key in source:
                setattr(self, key, source[key])
        self.num_hidden_layers, self.hidden_size, self.max_position_embeddings = len(stack.blocks), stack.width, stack.context
        if stack.blocks:
            mixer = stack.mixer(stack.blocks[0])
            self.num_attention_heads = mixer["heads"]
            self.num_key_value_heads = mixer.get("key_value_heads", mixer["heads"])
            self.head_dim = mixer["head_width"] if "head_width" in mixer else mixer["plain_width"] + mixer["rotary"]["width"]
            self.intermediate_size = (stack.blocks[0].get("mlp") or stack.blocks[0]["experts"]["expert"])["hidden"]
            if any(stack.windows):
                self.layer_types = ["sliding_attention" if window else "full_attention" for window in stack.windows]
                self.sliding_window = max(window for window in stack.windows if window)
        if stack.embedding["kind"] == "tokens":
            self.vocab_size = stack.embedding["vocabulary"]
        if stack.embedding["kind"] == "patches":
            self.image_size, self.patch_size = [stack.embedding["height"], stack.embedding["width"]], stack.embedding["patch"]
            self.num_channels = stack.embedding["channels"]
        if stack.output["kind"] == "labels" and (self.id2label is None or len(self.id2label) != stack.output["labels"]):
            names = source.get("id2label") or {}
            labels = range(stack.output["labels"])
            self.id2label = {i: names.get(str(i), f"LABEL_{i}") for i in labels}
            self.label2id = {name: i for i, name in self.id2label.items()}
        self.tie_word_embeddings = stack.tied
        self.is_encoder_decoder = self.companion_kind == "encoder"

    def stack(self):
        """The stack that the output is of."""
        return Stack(self.architecture)

    @property
    def companion_kind(self):
        return self.architecture["companion"]["kind"] if self.architecture and "companion" in self.architecture else None

    def companion(self):
        """The second stack: an encoder, or a tower of images."""
        companion = self.architecture["companion"]
        require(companion, {"kind": ("encoder", "image"), "shares_table": None, "bias": None, "architecture": None}, "architecture.companion")
        return Stack(companion["architecture"], "architecture.companion.architecture")

    def to_dict(self):
        # What is derived is not written: the architecture says it.
        json = super().to_dict()
        for key in ("num_hidden_layers", "hidden_size", "max_position_embeddings", "num_attention_heads", "num_key_value_heads", "head_dim",
                    "intermediate_size", "layer_types", "sliding_window", "vocab_size", "image_size", "patch_size", "num_channels", "tie_word_embeddings",
                    "is_encoder_decoder"):
            json.pop(key, None)
        return json


__all__ = ["IsonormConfig"]
