"""Writes small tokenizers of the kinds that models are published with: python make_tokenizers.py (needs Hugging Face tokenizers)."""
import os
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT = ["The quick brown fox jumps over the lazy dog 1234 times, doesn't it?", "Größe 你好 世界, naïve café", "def f(x):\n    return x + 1\n\n", "AAA bbb Ccc"] * 3
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+"


def save(name, model, trainer, **parts):
    tokenizer = Tokenizer(model)
    for part, value in parts.items():
        setattr(tokenizer, part, value)
    tokenizer.train_from_iterator(TEXT, trainer)
    if callable(POST.get(name)):
        tokenizer.post_processor = POST[name](tokenizer)
    tokenizer.save(os.path.join(HERE, name + ".json"))


def template(beginning, end=None):
    tokens = [beginning] + ([end] if end else [])
    single = beginning + " $A" + (" " + end if end else "")
    return lambda t: processors.TemplateProcessing(single=single, pair=single + " $B:1", special_tokens=[(x, t.token_to_id(x)) for x in tokens])


POST = {"llama3": template("<s>"), "llama2": template("<s>"), "bert": template("[CLS]", "[SEP]"),
        "roberta": lambda t: processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>"))),
        "clip": lambda t: processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")), trim_offsets=False, add_prefix_space=False)}
bpe = lambda **kw: trainers.BpeTrainer(vocab_size=330, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"], **kw)
byte_level = dict(decoder=decoders.ByteLevel())
alphabet = dict(initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
split = lambda regex: pre_tokenizers.Split(Regex(regex), "isolated")
quiet = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

save("gpt2", models.BPE(), bpe(**alphabet), pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False), **byte_level)
save("llama3", models.BPE(ignore_merges=True), bpe(**alphabet), pre_tokenizer=pre_tokenizers.Sequence([split(LLAMA3), quiet]), **byte_level)
save("o200k", models.BPE(), bpe(**alphabet), normalizer=normalizers.NFC(), pre_tokenizer=pre_tokenizers.Sequence([split(O200K), quiet]), **byte_level)
save("bloom", models.BPE(), bpe(**alphabet), pre_tokenizer=pre_tokenizers.Sequence([split(BLOOM), quiet]), **byte_level)
save("falcon", models.BPE(), bpe(**alphabet), pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"),
     pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(), split("[0-9][0-9][0-9]")]), **byte_level)
save("roberta", models.BPE(), bpe(**alphabet), pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True), **byte_level)
save("clip", models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"), bpe(end_of_word_suffix="</w>", **alphabet),
     normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]),
     pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CLIP), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), **byte_level)
save("llama2", models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True), bpe(),
     normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
     decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))
save("gemma", models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True), bpe(), normalizer=normalizers.Replace(" ", "▁"),
     pre_tokenizer=pre_tokenizers.Split(" ", "merged_with_previous"), decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]))
save("bert", models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=200, show_progress=False, special_tokens=["[UNK]", "[CLS]", "[SEP]"]),
     normalizer=normalizers.BertNormalizer(), pre_tokenizer=pre_tokenizers.BertPreTokenizer(), decoder=decoders.WordPiece())
save("unigram", models.Unigram(), trainers.UnigramTrainer(vocab_size=150, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>"),
     normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.StripAccents(), normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]),
     pre_tokenizer=pre_tokenizers.Metaspace(), decoder=decoders.Metaspace())
save("words", models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(show_progress=False, special_tokens=["<unk>", "<s>"]),
     normalizer=normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()]),
     pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()]))
