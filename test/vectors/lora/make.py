"""Makes the adapter folders `peft-*` beside this file, and what peft says of them and of `written-*` in `expected.json`.

    npx node test/vectors/lora/write.ts
    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2
    venv/bin/python test/vectors/lora/make.py

Random adapters on the policy folders of `../transformer`, in the number types that such folders come in. `written-*` were
written by constellate (`write.ts`) and are loaded here as anyone would load them. The reference computes in float64 from
the numbers as they were stored.

    venv/bin/python test/vectors/lora/make.py runs/adapted/checkpoints/2

loads any other adapter folder, such as one that a run has written, with the base that it names, and prints what the library
found in it and the log-probabilities of a row of tokens with and without it.
"""
import json
import pathlib
import random
import shutil
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

here = pathlib.Path(__file__).parent
bases = here.parent / "transformer"
vocabulary = 300

cases = {
    "peft-qwen3": ("qwen3-tied", dict(r=4, lora_alpha=8, target_modules="all-linear"), torch.float32),
    "peft-qwen2": ("qwen2-untied", dict(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj"]), torch.bfloat16),
    "peft-llama": ("llama-tied", dict(r=3, lora_alpha=16, target_modules=["gate_proj", "up_proj", "down_proj", "o_proj"]), torch.float16),
    "written-qwen3": ("qwen3-untied", None, None),
    "written-qwen2": ("qwen2-tied", None, None),
    "written-llama": ("llama-untied", None, None),
}


def opened(base, dtype):
    return AutoModelForCausalLM.from_pretrained(bases / base, dtype=dtype, attn_implementation="eager")


def make(name, base, options, dtype):
    folder = here / name
    torch.manual_seed(list(cases).index(name))
    shutil.rmtree(folder, ignore_errors=True)
    made = get_peft_model(opened(base, torch.float32), LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.1, **options))
    with torch.no_grad():
        for at, parameter in made.named_parameters():
            if "lora_" in at:
                parameter.normal_(0, 0.2)
                parameter.data = parameter.to(dtype)
    made.save_pretrained(folder)
    (folder / "README.md").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = f"../../transformer/{base}"
    config["target_modules"] = sorted(config["target_modules"])
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def judge(name, base):
    model = PeftModel.from_pretrained(opened(base, torch.float64), here / name, is_trainable=True).double()
    model.eval()
    numbers = random.Random(name)
    rows = [[numbers.randrange(vocabulary) for _ in range(length)] for length in (5, 17, 30)]
    scored = []
    total = 0.0
    for row in rows:
        logits = model(torch.tensor([row])).logits[0]
        logprobs = torch.log_softmax(logits, -1)
        picked = logprobs[torch.arange(len(row) - 1), torch.tensor(row[1:])]
        weights = [round(numbers.uniform(-1, 1), 3) for _ in row[1:]]
        total = total + (picked * torch.tensor(weights, dtype=torch.float64)).sum()
        scored.append({"tokens": row, "weights": weights, "logprobs": picked.tolist()})
    total.backward()
    with torch.no_grad():
        last = torch.log_softmax(model(torch.tensor([rows[0]])).logits[0, -1], -1)
        plain = torch.log_softmax(opened(base, torch.float64)(torch.tensor([rows[0]])).logits[0, -1], -1)
    return {
        "base": base,
        "rows": scored,
        "next": last.tolist(),
        "nextOfBase": plain[:4].tolist(),
        "greedy": greedy(model, rows[0], 8),
        "gradients": {
            at.replace(".default", ""): {"norm": parameter.grad.norm().item(), "first": parameter.grad.flatten()[:4].tolist()}
            for at, parameter in model.named_parameters()
            if parameter.requires_grad
        },
    }


def greedy(model, row, count):
    tokens = list(row)
    with torch.no_grad():
        for _ in range(count):
            tokens.append(model(torch.tensor([tokens])).logits[0, -1].argmax().item())
    return tokens[len(row) :]


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def show(folder):
    warnings.filterwarnings("error", message=".*adapter.*")  # The library warns of tensors that it misses or does not know.
    config = json.loads((folder / "adapter_config.json").read_text())
    base = AutoModelForCausalLM.from_pretrained(config["base_model_name_or_path"], dtype=torch.float64)
    tokens = torch.arange(8)[None]
    logprobs = lambda model: torch.log_softmax(model(tokens).logits[0, :-1], -1)[torch.arange(7), tokens[0, 1:]]
    with torch.no_grad():
        plain = logprobs(base)
        model = PeftModel.from_pretrained(base, folder).double().eval()
        adapted = logprobs(model)
    found = {name: list(tensor.shape) for name, tensor in model.named_parameters() if "lora_" in name}
    print(json.dumps({"adapters": len(found), "base": rounded(plain.tolist()), "adapted": rounded(adapted.tolist())}))


if __name__ == "__main__" and len(sys.argv) > 1:
    for folder in sys.argv[1:]:
        show(pathlib.Path(folder))
elif __name__ == "__main__":
    for name, (base, options, dtype) in cases.items():
        if options is not None:
            make(name, base, options, dtype)
    expected = {name: judge(name, base) for name, (base, _, _) in cases.items()}
    (here / "expected.json").write_text(json.dumps(rounded(expected), separators=(",", ":")) + "\n")
