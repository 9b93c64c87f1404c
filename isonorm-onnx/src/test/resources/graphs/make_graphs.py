#!/usr/bin/env python3
"""Makes the graphs beside this file with torch's two exporters, from tiny models of transformers with random weights.

  python make_graphs.py [NAME ...]
"""
import os
import sys
import warnings

import onnx
import onnxruntime
import torch
import transformers as t

HERE = os.path.dirname(os.path.abspath(__file__))
D, L, H, V = 16, 2, 2, 40
TEXT = dict(vocab_size=V, hidden_size=D, num_hidden_layers=L, num_attention_heads=H, intermediate_size=2 * D, max_position_embeddings=32)
IMAGE = dict(hidden_size=D, num_hidden_layers=L, num_attention_heads=H, intermediate_size=2 * D, image_size=8, patch_size=4)


# Whether several texts were packed into one is asked of positions by an operator that the older exporter does not know; none are.
t.masking_utils.find_packed_sequence_indices = lambda *_: None

_repeated = torch.repeat_interleave


def repeated(x, count, dim=None, **more):
    """The older exporter writes a repetition of the last dimension, and with it what else is told -1, wrongly: Cohere's positions."""
    return torch.stack([x] * count, -1).flatten(-2) if isinstance(count, int) and dim == -1 else _repeated(x, count, dim, **more)


torch.repeat_interleave = repeated


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        given = self.model(x, **({"use_cache": False} if hasattr(self.model.config, "use_cache") else {}))
        return next(given[name] for name in ("logits", "image_embeds", "text_embeds", "last_hidden_state") if name in given)


MODELS = {
    "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(vocab_size=V, n_embd=D, n_layer=L, n_head=H, n_positions=32)),
    "opt": lambda: t.OPTForCausalLM(t.OPTConfig(vocab_size=V, hidden_size=D, num_hidden_layers=L, num_attention_heads=H, ffn_dim=2 * D, max_position_embeddings=32, word_embed_proj_dim=D)),
    "bloom": lambda: t.BloomForCausalLM(t.BloomConfig(vocab_size=V, hidden_size=D, n_layer=L, n_head=H)),
    "gpt_neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**TEXT)),
    "gptj": lambda: t.GPTJForCausalLM(t.GPTJConfig(vocab_size=V, n_embd=D, n_layer=L, n_head=H, n_positions=32, rotary_dim=4)),
    "phi": lambda: t.PhiForCausalLM(t.PhiConfig(**TEXT)),
    "falcon": lambda: t.FalconForCausalLM(t.FalconConfig(vocab_size=V, hidden_size=D, num_hidden_layers=L, num_attention_heads=H)),
    "cohere": lambda: t.CohereForCausalLM(t.CohereConfig(**TEXT)),
    "olmo": lambda: t.OlmoForCausalLM(t.OlmoConfig(**TEXT)),
    "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**TEXT)),
    "bert": lambda: t.BertModel(t.BertConfig(**TEXT)),
    "vit": lambda: t.ViTForImageClassification(t.ViTConfig(**IMAGE, num_labels=5)),
    "dinov2": lambda: t.Dinov2ForImageClassification(t.Dinov2Config(hidden_size=D, num_hidden_layers=L, num_attention_heads=H, image_size=8, patch_size=4)),
    "siglip_vision": lambda: t.SiglipVisionModel(t.SiglipVisionConfig(**IMAGE)),
    "whisper_encoder": lambda: t.models.whisper.modeling_whisper.WhisperEncoder(t.WhisperConfig(
        vocab_size=V, d_model=D, encoder_layers=L, encoder_attention_heads=H, encoder_ffn_dim=2 * D, num_mel_bins=4, max_source_positions=8)),
    "clip_text": lambda: t.CLIPTextModelWithProjection(t.CLIPTextConfig(**TEXT, eos_token_id=V - 1, projection_dim=D)),
    "clip_vision": lambda: t.CLIPVisionModelWithProjection(t.CLIPVisionConfig(**IMAGE, projection_dim=D)),
}
IMAGES = {"vit", "dinov2", "siglip_vision", "clip_vision"}


WHISPER = dict(vocab_size=V, d_model=D, encoder_layers=L, decoder_layers=L, encoder_attention_heads=H, decoder_attention_heads=H, encoder_ffn_dim=2 * D, decoder_ffn_dim=2 * D,
               num_mel_bins=4, max_source_positions=8, max_target_positions=32, pad_token_id=1, bos_token_id=2, eos_token_id=3, decoder_start_token_id=2)


class Cached(torch.nn.Module):
    """optimum's layout of a decoder: what was read before are inputs, and outputs."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, past):
        cache = t.DynamicCache(config=self.model.config)
        for l in range(len(past) // 2):
            cache.update(past[2 * l], past[2 * l + 1], l)
        length = past[0].shape[2] if past else 0
        more = {} if self.model.config.model_type in ("opt", "bloom", "mpt", "xglm") else {
            "position_ids": torch.arange(length, length + input_ids.shape[1], device=input_ids.device).unsqueeze(0)}
        given = self.model(input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True, **more)
        return (given.logits,) + tuple(x for layer in given.past_key_values.layers for x in (layer.keys, layer.values))


class WhisperDecoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = trained(t.WhisperForConditionalGeneration(t.WhisperConfig(**WHISPER)))

    def forward(self, input_ids, encoder_hidden_states):
        states = self.model.model.decoder(input_ids=input_ids, encoder_hidden_states=encoder_hidden_states, use_cache=False).last_hidden_state
        return self.model.proj_out(states)


def trained(model):
    """Gains and biases as training leaves them."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim <= 1:
                p.add_(torch.randn(p.shape, generator=generator) * .2)
            else:
                p.copy_(torch.randn(p.shape, generator=generator) * .3 + .05)
    return model


def clean(file):
    """Without what tells where in the sources operators come from."""
    model = onnx.load(file)
    for each in list(model.graph.node) + list(model.graph.value_info) + list(model.graph.input) + list(model.graph.output) + [model.graph, model]:
        del each.metadata_props[:]
        each.ClearField("doc_string")
    onnx.save(model, file)


FREE = {0: "batch", 1: "sequence"}


def cached(model):
    """Inputs of a decoder in optimum's layout, their names, and which of their dimensions are free."""
    tokens = torch.randint(4, V, (2, 7))
    with torch.no_grad():
        past = model(tokens[:, :3], torch.ones(2, 3, dtype=torch.long), ())[1:]
    names = [f"past_key_values.{i // 2}.{'key' if i % 2 == 0 else 'value'}" for i in range(len(past))]
    axes = {"input_ids": FREE, "attention_mask": {0: "batch", 1: "past_sequence+sequence"}, **{name: {0: "batch", 2: "past_sequence"} for name in names}}
    return (tokens, torch.ones(2, 10, dtype=torch.long), tuple(past)), ["input_ids", "attention_mask", *names], axes


def export(model, inputs, names, axes, kind, file):
    if kind == "dynamo":
        def shape(name, x):
            return axes.get(name)
        flat = iter(names)
        shapes = tuple(tuple(shape(next(flat), y) for y in x) if isinstance(x, tuple) else shape(next(flat), x) for x in inputs)
        torch.onnx.export(model, inputs, file, dynamo=True, external_data=False, input_names=names, dynamic_shapes=shapes if axes else None, opset_version=18, verbose=False)
    else:
        torch.onnx.export(model, inputs, file, dynamo=False, input_names=names, dynamic_axes=axes, opset_version=14 if kind == "old" else 17)
    clean(file)


OTHERS = {
    "whisper_decoder-dynamo": lambda: (WhisperDecoder(), (torch.randint(4, V, (2, 7)), torch.randn(2, 8, D)), ["input_ids", "encoder_hidden_states"], {"input_ids": FREE}),
    "whisper_decoder-script": lambda: (WhisperDecoder(), (torch.randint(4, V, (2, 7)), torch.randn(2, 8, D)), ["input_ids", "encoder_hidden_states"], {"input_ids": FREE}),
    "opt_cached-script": lambda: (lambda model: (model, *cached(model)))(Cached(trained(MODELS["opt"]()).eval())),
    "gpt_neox_cached-dynamo": lambda: (lambda model: (model, *cached(model)))(Cached(trained(MODELS["gpt_neox"]()).eval())),
}


def main():
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or [*MODELS, *OTHERS]:
        torch.manual_seed(0)
        if name in OTHERS:
            with torch.no_grad():
                model, inputs, names, axes = OTHERS[name]()
                export(model.eval(), inputs, names, axes, name.split("-")[1], os.path.join(HERE, name + ".onnx"))
            continue
        model = Logits(trained(MODELS[name]()).eval())
        sound = name == "whisper_encoder"
        x = torch.randn(2, 3, 8, 8) if name in IMAGES else torch.randn(2, 4, 16) if sound else torch.randint(0, V, (2, 7))
        free = {} if name in IMAGES or sound else {"x": {0: "batch", 1: "sequence"}}
        for exporter in ("dynamo", "script"):
            file = os.path.join(HERE, f"{name}-{exporter}.onnx")
            try:
                if exporter == "dynamo":
                    shapes = ({0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")},) if free else None
                    torch.onnx.export(model, (x,), file, dynamo=True, external_data=False, input_names=["x"], output_names=["y"], dynamic_shapes=shapes, opset_version=18)
                else:
                    torch.onnx.export(model, (x,), file, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes=free, opset_version=17)
                    if name in ("vit", "olmo"):  # norms of plain operators, with gains and biases and without
                        old = os.path.join(HERE, name + "-old.onnx")
                        torch.onnx.export(model, (x,), old, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes=free, opset_version=14)
                        clean(old)
                    if name == "vit":  # fused ones
                        options = onnxruntime.SessionOptions()
                        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
                        options.optimized_model_filepath = os.path.join(HERE, "vit-fused.onnx")
                        onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
                clean(file)
                print(name, exporter, os.path.getsize(file), "bytes")
            except Exception as e:
                print(name, exporter, "FAILED", str(e).splitlines()[:1])


if __name__ == "__main__":
    main()
