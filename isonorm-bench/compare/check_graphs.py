#!/usr/bin/env python3
"""Converts graphs of tiny models of many families, as torch's two exporters make them and in the layout of optimum's (with a mask, keys and values), and says
of each what became of its norms; outside CI, for it needs Python with torch, transformers and onnx.

  ISONORM_ONNXRUNTIME=onnxruntime.jar isonorm-bench/compare/check_graphs.py FOLDER [NAME ...]

FOLDER keeps the graphs and what they became. A line ends in how far ONNX Runtime's outputs of both are apart, in parts of their standard deviation."""
import json, os, pathlib, subprocess, sys, warnings
import torch
import transformers as t

home = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(home / "isonorm-onnx/src/test/resources/graphs"))
import make_graphs as made
from make_graphs import D, H, IMAGE, L, TEXT, V

# Its images are of the size that its positions are for, and what makes others of them (antialiased) is not known to the older exporter.
t.models.dinov2_with_registers.modeling_dinov2_with_registers.Dinov2WithRegistersEmbeddings.interpolate_pos_encoding = lambda self, *_: self.position_embeddings
EAGER = dict(attn_implementation="eager")  # where the older exporter cannot write grouped heads otherwise
OTHER = dict(vocab_size=V, n_embd=D, n_layer=L, n_head=H, n_positions=32)
DECODERS = {
    "gpt2": made.MODELS["gpt2"], "opt": made.MODELS["opt"], "bloom": made.MODELS["bloom"], "gpt_neox": made.MODELS["gpt_neox"], "phi": made.MODELS["phi"],
    "falcon": made.MODELS["falcon"], "llama": made.MODELS["llama"],
    "gptj": made.MODELS["gptj"],
    "codegen": lambda: t.CodeGenForCausalLM(t.CodeGenConfig(rotary_dim=2, **{**OTHER, "n_head": 4})),
    "gpt_neo": lambda: t.GPTNeoForCausalLM(t.GPTNeoConfig(vocab_size=V, hidden_size=D, num_layers=L, num_heads=H, max_position_embeddings=32, attention_types=[[["global", "local"], 1]], window_size=4)),
    "gpt_bigcode": lambda: t.GPTBigCodeForCausalLM(t.GPTBigCodeConfig(**OTHER, **EAGER)),
    "stablelm": lambda: t.StableLmForCausalLM(t.StableLmConfig(**TEXT, num_key_value_heads=H)),
    "starcoder2": lambda: t.Starcoder2ForCausalLM(t.Starcoder2Config(**TEXT, num_key_value_heads=1, **EAGER)),
    "olmo": made.MODELS["olmo"],
    "mpt": lambda: t.MptForCausalLM(t.MptConfig(vocab_size=V, d_model=D, n_heads=H, n_layers=L, max_seq_len=32)),
    "cohere": lambda: t.CohereForCausalLM(t.CohereConfig(**TEXT)),
    "nemotron": lambda: t.NemotronForCausalLM(t.NemotronConfig(**TEXT, num_key_value_heads=H)),
    "xglm": lambda: t.XGLMForCausalLM(t.XGLMConfig(vocab_size=V, d_model=D, num_layers=L, attention_heads=H, ffn_dim=2 * D, max_position_embeddings=32)),
}
BESIDE = {"bert": made.MODELS["bert"], "clip_text": made.MODELS["clip_text"], "siglip_text": lambda: t.SiglipTextModel(t.SiglipTextConfig(**TEXT))}
IMAGES = {
    "vit": made.MODELS["vit"], "dinov2": made.MODELS["dinov2"], "siglip_vision": made.MODELS["siglip_vision"], "clip_vision": made.MODELS["clip_vision"],
    "clip_vision_states": lambda: t.CLIPVisionModel(t.CLIPVisionConfig(**IMAGE)),
    "deit": lambda: t.DeiTForImageClassification(t.DeiTConfig(**IMAGE)),
    "dinov2_with_registers": lambda: t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(hidden_size=D, num_hidden_layers=L, num_attention_heads=H, image_size=8, patch_size=4)),
}


def jobs():
    tokens = torch.randint(4, V, (2, 7))
    free = {0: "batch", 1: "sequence"}
    for name, make in {**DECODERS, **BESIDE}.items():
        yield name, "plain", lambda make=make: made.Logits(made.trained(make()).eval()), (tokens,), ["x"], {"x": free}
    for name, make in IMAGES.items():
        yield name, "plain", lambda make=make: made.Logits(made.trained(make()).eval()), (torch.randn(2, 3, 8, 8),), ["x"], {}
    yield "whisper_encoder", "plain", lambda: made.Logits(made.trained(made.MODELS["whisper_encoder"]()).eval()), (torch.randn(2, 4, 16),), ["x"], {}
    yield "whisper_decoder", "plain", lambda: made.WhisperDecoder().eval(), (tokens, torch.randn(2, 8, D)), ["input_ids", "encoder_hidden_states"], {"input_ids": free}
    for name, make in DECODERS.items():
        def build(make=make):
            return made.Cached(made.trained(make()).eval())
        inputs, names, axes = made.cached(build())
        yield name, "optimum", build, inputs, names, axes


def main():
    warnings.simplefilter("ignore")
    folder, wanted = sys.argv[1], sys.argv[2:]
    os.makedirs(folder, exist_ok=True)
    for name, layout, make, inputs, names, axes in jobs():
        if wanted and name not in wanted:
            continue
        for kind in ("dynamo", "script", "old"):
            file = os.path.join(folder, f"{name}-{layout}-{kind}.onnx")
            said = f"{name:22} {layout:8} {kind:7}"
            try:
                torch.manual_seed(0)
                with torch.no_grad():
                    made.export(make(), inputs, names, axes, kind, file)
            except Exception as e:
                print(said, "not exported:", type(e).__name__, (str(e).splitlines() or [""])[0][:120], flush=True)
                continue
            out = file.replace(".onnx", "-rms.onnx")
            run = subprocess.run([home / "isonorm", "convert", file, out, "--overwrite", "--json", "-q"], capture_output=True, text=True)
            try:
                report = json.loads(run.stdout)
            except ValueError:
                print(said, "FAILED:", run.stderr.strip()[-300:], flush=True)
                continue
            if "refused" in report:
                print(said, "refused:", "; ".join(report["refused"])[:200], flush=True)
                continue
            error = f"{report['verification']['largest_error']:.1e}" if report["verified"] else "NOT RUN: " + report.get("not_run", "")[:160]
            print(said, f"{report['changed']} of {report['norms']} norms, {report['folded']} folded, {error}", "; ".join(report["left"])[:160], flush=True)


if __name__ == "__main__":
    main()
