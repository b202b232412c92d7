"""Writes `expected.json`: tables of rotary positions as the reference implementation makes them, for each kind of scaling.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0
    venv/bin/python test/vectors/rope/make.py

Each case holds a `config.json` as folders have it, old spelling (`rope_scaling`) and new (`rope_parameters`), and what
`LlamaRotaryEmbedding` puts out for some positions.
"""
import json
import pathlib

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

common = dict(
    vocab_size=100, hidden_size=64, intermediate_size=24, num_hidden_layers=1, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, tie_word_embeddings=True, rms_norm_eps=1e-6,
)
llama31 = dict(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192
)
cases = {
    "default": dict(max_position_embeddings=40960, rope_theta=1000000.0),
    "default, wide head": dict(max_position_embeddings=4096, rope_theta=1000000.0, head_dim=128),
    "linear": dict(max_position_embeddings=16384, rope_theta=10000.0, rope_scaling=dict(type="linear", factor=2.5)),
    "dynamic": dict(max_position_embeddings=8192, rope_theta=10000.0, rope_scaling=dict(rope_type="dynamic", factor=4.0)),
    "llama3": dict(max_position_embeddings=131072, rope_theta=500000.0, rope_scaling=llama31),
    "llama3, new spelling": dict(
        max_position_embeddings=32768, head_dim=64,
        rope_parameters=dict(llama31, factor=32.0, rope_theta=500000.0),
    ),
    "yarn": dict(
        max_position_embeddings=131072, rope_theta=1000000.0,
        rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32768),
    ),
    "yarn, wide head": dict(
        max_position_embeddings=8192, rope_theta=1000000.0, head_dim=128,
        rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=2048),
    ),
    "yarn, everything said": dict(
        max_position_embeddings=65536, rope_theta=150000.0, head_dim=32,
        rope_scaling=dict(
            rope_type="yarn", factor=16.0, original_max_position_embeddings=4096, beta_fast=24.0, beta_slow=2.0,
            attention_factor=1.15, truncate=False,
        ),
    ),
    "yarn, mscale": dict(
        max_position_embeddings=16384, rope_theta=10000.0, head_dim=32,
        rope_scaling=dict(
            rope_type="yarn", factor=4.0, original_max_position_embeddings=4096, mscale=1.0, mscale_all_dim=0.707
        ),
    ),
}


def make(given):
    asked = common | given
    rotary = LlamaRotaryEmbedding(LlamaConfig(**json.loads(json.dumps(asked))))
    last = asked["max_position_embeddings"] - 1
    positions = sorted({0, 1, 2, 17, 500, last // 3, last})
    cos, sin = rotary(torch.zeros(1), torch.tensor([positions]))
    half = asked["head_dim"] // 2
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **asked}
    return {
        "config": config,
        "frequencies": rotary.inv_freq.tolist(),
        "positions": positions,
        "cos": cos[0, :, :half].tolist(),
        "sin": sin[0, :, :half].tolist(),
    }


made = {name: make(given) for name, given in cases.items()}
text = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in made.items())
(pathlib.Path(__file__).parent / "expected.json").write_text("{\n" + text + "\n}\n")
