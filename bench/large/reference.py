"""What the reference libraries take for the same work: transformers, peft, and vLLM, each where it is installed.

Started by device.ts with one argument, JSON: folder, device, batches, prompt, fresh, scored, trained.
"""
import json
import sys
import time

asked = json.loads(sys.argv[1])
import torch
from transformers import AutoModelForCausalLM

device = "cuda" if asked["device"] == "cuda" else "cpu"
if device == "cuda" and not torch.cuda.is_available():
    sys.exit("torch sees no CUDA device")


def wait():
    if device == "cuda":
        torch.cuda.synchronize()


def measured(what, count, work):
    work()
    wait()
    started = time.perf_counter()
    work()
    wait()
    took = time.perf_counter() - started
    print(f"{what:44} {count / took:9.0f} tokens/s {took:8.2f} s")


def tokens(*shape):
    return torch.randint(3, vocabulary, shape, device=device)


for dtype in (torch.float32, torch.bfloat16) if device == "cuda" else (torch.float32,):
    name = f"transformers {str(dtype).removeprefix('torch.')}"
    model = AutoModelForCausalLM.from_pretrained(asked["folder"], dtype=dtype).to(device)
    vocabulary = model.config.vocab_size
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    with torch.no_grad():
        for rows in asked["batches"]:
            prompts = tokens(rows, asked["prompt"])
            options = dict(do_sample=True, top_k=0, max_new_tokens=asked["fresh"], min_new_tokens=asked["fresh"])
            measured(
                f"{name}, generation of {rows}",
                rows * asked["fresh"],
                lambda: model.generate(prompts, attention_mask=torch.ones_like(prompts), **options),
            )
        count, length = asked["scored"]
        scored = tokens(count, length)
        measured(
            f"{name}, scoring",
            count * length,
            lambda: [torch.log_softmax(model(part).logits.float(), -1).sum() for part in scored.split(2)],
        )
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        print(f"{name}: peft is not installed")
        continue
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    trained = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=names))
    optimizer = torch.optim.AdamW([p for p in trained.parameters() if p.requires_grad], lr=1e-3)
    count, length = asked["trained"]
    sequences = tokens(count, length)

    def update():
        for part in sequences.split(2):
            (trained(part, labels=part).loss * len(part) / count).backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    measured(f"{name}, LoRA update with peft", count * length, update)
    del model, trained, optimizer

try:
    if device != "cuda":
        raise ImportError
    from vllm import LLM, SamplingParams
except ImportError:
    print("vllm: not installed, or no CUDA")
    sys.exit(0)
engine = LLM(asked["folder"], gpu_memory_utilization=0.5, skip_tokenizer_init=True, max_model_len=1024)
for rows in asked["batches"]:
    prompts = [{"prompt_token_ids": row.tolist()} for row in tokens(rows, asked["prompt"])]
    sampling = SamplingParams(temperature=1.0, max_tokens=asked["fresh"], ignore_eos=True, detokenize=False)
    measured(f"vllm, generation of {rows}", rows * asked["fresh"], lambda: engine.generate(prompts, sampling, use_tqdm=False))
