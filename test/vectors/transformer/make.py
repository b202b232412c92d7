"""Makes the policy folders beside this file, and what the reference implementation says of each in `expected.json`.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0
    venv/bin/python test/vectors/transformer/make.py

Random weights in small shapes, one folder for each family with tied and with untied embeddings, in the number types and
the layout (one file or shards) that published checkpoints come in. Every parameter is random, norms and biases too, so that
none can be forgotten unnoticed. The reference computes in float64 from the weights as they were stored.
"""
import json
import pathlib
import random
import shutil

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config

here = pathlib.Path(__file__).parent
vocabulary = 300

qwen_pattern = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
llama_pattern = qwen_pattern.replace(r"|\p{N}|", r"|\p{N}{1,3}|")

corpus = [
    "The agent walks on the frozen lake. It's at row 2, column 10, and the hole is 4 steps away.",
    "Hints: the action 1 moves down, 2 moves right, 3 moves up and 4 moves left. I'm sure of the first two.",
    "<answer>2</answer> The agent isn't sure, so it won't walk there again; we've seen 12345678 lakes.",
]
texts = corpus + [
    "",
    " ",
    "a  b   c\n\n\td\r\n e ",
    "<|im_start|>user\nHello, world!<|im_end|>\n<|im_start|>assistant\n",
    "No space<|im_end|>at all . ? ! , 's n't",
    "3.14159265358979 1234567890123 1e-12",
    "e\u0301\u00e9 \ufb01 \u2460 na\u00efve \u00c5ngstr\u00f6m",
    "\U0001f98a\U0001f469\u200d\U0001f4bb\U0001f1e9\U0001f1ea \u2603\ufe0f",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd \u0645\u0631\u062d\u0628\u0627 \u0661\u0662\u0663",
    "\u4f60\u597d\u4e16\u754c\u3002\u3053\u3093\u306b\u3061\u306f \ud55c\uad6d\uc5b4",
    "\u2581under \u00a0nbsp \ufeffbom \u0000nul",
]

template = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer(pattern, normalizer):
    made = Tokenizer(models.BPE(ignore_merges=pattern is llama_pattern))
    made.normalizer = normalizer
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=vocabulary - 3,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    made.add_special_tokens(
        [AddedToken(text, special=True) for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=template
    )


shape = dict(
    vocab_size=vocabulary,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
)
qwen = tokenizer(qwen_pattern, normalizers.NFC())
llama = tokenizer(llama_pattern, None)
cases = {
    "qwen3-tied": (Qwen3Config(**shape, num_key_value_heads=2, head_dim=6, tie_word_embeddings=True), qwen, torch.bfloat16, None),
    "qwen3-untied": (Qwen3Config(**shape, num_key_value_heads=2, head_dim=6, tie_word_embeddings=False, rope_theta=1e6), qwen, torch.bfloat16, "8KB"),
    "qwen2-tied": (Qwen2Config(**shape, num_key_value_heads=1, tie_word_embeddings=True, rms_norm_eps=1e-3), qwen, torch.float32, None),
    "qwen2-untied": (Qwen2Config(**shape, num_key_value_heads=2, tie_word_embeddings=False), qwen, torch.float16, None),
    "llama-tied": (LlamaConfig(**shape, num_key_value_heads=4, tie_word_embeddings=True, rope_theta=5e5), llama, torch.float16, "8KB"),
    "llama-untied": (LlamaConfig(**shape, num_key_value_heads=2, head_dim=8, tie_word_embeddings=False), llama, torch.bfloat16, None),
}


def make(name, config, tokens, dtype, shard_size):
    torch.manual_seed(len(name) + 100 * list(cases).index(name))
    folder = here / name
    shutil.rmtree(folder, ignore_errors=True)
    config.eos_token_id, config.pad_token_id, config.bos_token_id = tokens.eos_token_id, tokens.pad_token_id, None
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for at, parameter in model.named_parameters():
            parameter.normal_(0, 0.3 if parameter.dim() == 2 else 0.1)
            if at.endswith("norm.weight"):
                parameter += 1
    model.to(dtype).save_pretrained(folder, **({} if shard_size is None else {"max_shard_size": shard_size}))
    tokens.save_pretrained(folder, save_jinja_files=False)
    (folder / "generation_config.json").unlink(missing_ok=True)

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager")
    model.get_input_embeddings().padding_idx = None  # Otherwise the padding token would get no gradient.
    numbers = random.Random(name)
    rows = [[numbers.randrange(vocabulary) for _ in range(length)] for length in (5, 17, 30)]
    scored = []
    total = 0.0
    for row in rows:
        logits = model(torch.tensor([row])).logits[0, :-1]
        for temperature in (1.0, 0.7):
            logprobs = torch.log_softmax(logits / temperature, -1)
            picked = logprobs[torch.arange(len(row) - 1), torch.tensor(row[1:])]
            if temperature == 1.0:
                weights = [round(numbers.uniform(-1, 1), 3) for _ in row[1:]]
                total = total + (picked * torch.tensor(weights, dtype=torch.float64)).sum()
                scored.append({"tokens": row, "weights": weights, "logprobs": picked.tolist()})
            else:
                scored[-1]["cooler"] = picked.tolist()
    total.backward()
    gradients = {
        at: {"norm": parameter.grad.norm().item(), "first": parameter.grad.flatten()[:4].tolist()}
        for at, parameter in model.named_parameters()
    }
    return {
        "rows": scored,
        "coolerTemperature": 0.7,
        "gradients": gradients,
        "texts": [
            {"text": text, "tokens": (ids := tokens.encode(text, add_special_tokens=False)), "decoded": tokens.decode(ids, skip_special_tokens=True)}
            for text in texts
        ],
    }


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


expected = {name: rounded(make(name, *case)) for name, case in cases.items()}
(here / "expected.json").write_text(json.dumps(expected, ensure_ascii=True, separators=(",", ":")) + "\n")
