"""Reads exported rows with the trainers' own classes. Run by hand:

    pip install trl==1.16.0 verl==0.9.1 trinity-rft==0.6.0
    python check.py trl.jsonl verl.jsonl trinity.jsonl
"""

import json
import sys

from trinity.common.experience import Experience, from_hf_datasets, group_by
from trl.experimental.async_grpo.async_rollout_worker import RolloutSample
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput


def rows(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines]


trl, verl, trinity = sys.argv[1:]

samples = [RolloutSample(**row) for row in rows(trl)]
print(len(samples), "samples of", len({sample.group_id for sample in samples}), "groups for TRL")

outputs = [AgentLoopOutput(**row).as_dict() for row in rows(verl)]
assert all(output["responses"].shape == output["rollout_log_probs"].shape for output in outputs)
print(len(outputs), "outputs for verl")

experiences = [Experience(**row) for row in rows(trinity)]
assert all(len(one.tokens) == one.prompt_length + len(one.action_mask) for one in experiences)
print(len(experiences), "experiences of", len(group_by(experiences, "task")), "tasks for Trinity-RFT")

from datasets import load_dataset  # noqa: E402

loaded = from_hf_datasets(load_dataset("json", data_files=trinity)["train"])
assert len(Experience.deserialize_many(Experience.serialize_many(loaded))) == len(experiences)
