"""Writes what torch.save makes of a few tensors, in every form that is read or must be refused: python make_torch.py (torch 2.13, safetensors 0.8)."""
import collections
import os

import torch
from safetensors.torch import save_file

os.chdir(os.path.dirname(os.path.abspath(__file__)))
torch.manual_seed(1)
table = torch.randn(5, 4)
state = collections.OrderedDict([
    ("table.weight", table),
    ("half", torch.randn(3, 2).half()),
    ("brain", torch.randn(7).bfloat16()),
    ("double", torch.randn(2, 1, 3).double()),
    ("long", torch.arange(6).reshape(2, 3)),
    ("flags", torch.tensor([True, False, True])),
    ("scalar", torch.tensor(2.5)),
    ("empty", torch.zeros(0, 3)),
    ("rows", table[2:4]),
    ("parameter", torch.nn.Parameter(torch.randn(2, 2))),
])
state._metadata = collections.OrderedDict([("", {"version": 1})])
save_file({name: tensor.detach().clone().contiguous() for name, tensor in state.items()}, "expected.safetensors")
torch.save(state, "zip.bin")
torch.save(state, "zip4.bin", pickle_protocol=4)
torch.save(state, "old.bin", _use_new_zipfile_serialization=False)
torch.save(dict(state), "dictionary.bin")
torch.save(collections.OrderedDict(list(state.items())[:3]), "pytorch_model-00001-of-00002.bin")
torch.save(collections.OrderedDict(list(state.items())[3:]), "pytorch_model-00002-of-00002.bin")
torch.save(torch.nn.Linear(2, 2), "module.bin")
torch.save({"model": dict(state), "step": 3}, "training.bin")
torch.save({"turned": torch.randn(3, 2).T}, "turned.bin")
torch.save({"weight": torch.quantize_per_tensor(torch.randn(4), .1, 0, torch.qint8)}, "quantized.bin")
torch.save({"weight": torch.randn(3, 3).to_sparse()}, "sparse.bin")
torch.save({"weight": torch.randn(2, dtype=torch.complex64)}, "complex.bin")
torch.save([torch.randn(2)], "list.bin")
