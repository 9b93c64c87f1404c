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
    "phi": lambda: t.PhiForCausalLM(t.PhiConfig(**TEXT)),
    "falcon": lambda: t.FalconForCausalLM(t.FalconConfig(vocab_size=V, hidden_size=D, num_hidden_layers=L, num_attention_heads=H)),
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


def main():
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or MODELS:
        torch.manual_seed(0)
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
                    if name == "vit":  # norms of plain operators, and fused ones
                        torch.onnx.export(model, (x,), os.path.join(HERE, "vit-old.onnx"), dynamo=False, input_names=["x"], output_names=["y"], opset_version=14)
                        clean(os.path.join(HERE, "vit-old.onnx"))
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
