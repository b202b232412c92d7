"""What plain Python does with the same lake, for comparison with `npm run bench -- simulate`.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install gymnasium envpool
    PYTHON=/tmp/peers/bin/python3 npm run bench -- simulate

One process, one thread, a random agent that writes and reads text. Four loops over gymnasium's FrozenLake, each doing
more than the last, and EnvPool's without any text, for orientation. Prints one JSON object; steps a second of processor
time, the best of three rounds.
"""

import hashlib
import importlib.metadata
import json
import random
import re
import sys
import time

import gymnasium
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv, generate_random_map

STEPS = 8
SECONDS = 1.0
ROUNDS = 3

RULES = """You walk on a frozen lake of {n} x {n} tiles, and want to reach the goal without falling into a hole.
P is you, G the goal, O a hole, _ ice. Rows and columns are counted from 0.

## Actions
The actions are called Direction 1, Direction 2, Direction 3 and Direction 4. Which of them moves you which way is hidden:
do not assume any order. You can find out by watching how your position changes, or from hints if you have any.
Take one action per step; you have 8 steps. An answer that is not one of the four ends the task.

## Answer
Reason briefly, then give exactly one action, like this: <answer>Direction N</answer>, N being 1, 2, 3 or 4."""

ANSWER = re.compile(r"<answer>\s*[Dd]irection\s+([1-4])\s*</answer>")


def episodes(seed):
    """Lakes of 4 or 5 tiles a side, one after the other."""
    rng = random.Random(seed)
    while True:
        size = rng.choice((4, 5))
        yield FrozenLakeEnv(desc=generate_random_map(size=size, p=0.65), is_slippery=False), size, rng


def look(env, size, at, step, before):
    tiles = [["O" if tile == b"H" else "G" if tile == b"G" else "_" for tile in row] for row in env.desc]
    tiles[at // size][at % size] = "P"
    rows = "\n".join("".join(f" {tile} \t" for tile in row) for row in tiles)
    goal = f"The goal is at row {size - 1}, column {size - 1}."
    return f"{before}\nStep {step}/{STEPS}\nMap:\n{rows}\n{goal}".strip()


def bare(rounds):
    """Steps of the environment and nothing else; a lake for every episode."""
    steps = 0
    for env, _size, rng in episodes(rounds):
        env.reset(seed=rounds)
        for _ in range(STEPS):
            _, _, ended, _, _ = env.step(rng.randrange(4))
            steps += 1
            if ended:
                break
        yield steps


def same(rounds):
    """The same on one lake for ever: no maps are drawn, nothing is built."""
    env, _size, rng = next(episodes(rounds))
    steps = 0
    while True:
        env.reset()
        ended = False
        while not ended:
            _, _, ended, _, _ = env.step(rng.randrange(4))
            steps += 1
            yield steps


def told(rounds, keep):
    """The same with prompts and replies in text; `keep` gets the record of each episode."""
    steps = 0
    for number, (env, size, rng) in enumerate(episodes(rounds)):
        mapping = rng.sample(range(4), 4)
        at, _ = env.reset(seed=rounds)
        messages = [{"role": "system", "content": RULES.format(n=size)}]
        record = []
        before = ""
        for step in range(1, STEPS + 1):
            observation = look(env, size, int(at), step, before)
            messages.append({"role": "user", "content": observation})
            prompt = "\n\n".join(f"[{m['role']}]\n{m['content']}" for m in messages)
            reply = f"<answer>Direction {rng.randint(1, 4)}</answer>"
            code = int(ANSWER.search(reply).group(1))
            was = int(at)
            at, reward, ended, _, _ = env.step(mapping[code - 1])
            before = f"Direction {code} moved you from {divmod(was, size)} to {divmod(int(at), size)}."
            messages.append({"role": "assistant", "content": reply})
            record.append({"prompt": prompt, "reply": reply, "observation": observation, "feedback": before})
            steps += 1
            if ended:
                break
        keep({"episode": number, "steps": record, "reward": float(reward)})
        yield steps


def measured(loop):
    best = 0.0
    for rounds in range(ROUNDS):
        started = time.process_time()
        steps = 0
        for steps in loop(rounds):
            if time.process_time() - started >= SECONDS:
                break
        best = max(best, steps / (time.process_time() - started))
    return round(best)


def digesting(rounds):
    sha = hashlib.sha256()
    return told(rounds, lambda record: sha.update(json.dumps(record, sort_keys=True).encode()))


def envpool_steps():
    try:
        import envpool
        import numpy
    except ImportError:
        return None
    lakes = 1024
    env = envpool.make("FrozenLake-v1", env_type="gymnasium", num_envs=lakes, num_threads=1)
    env.reset()

    def loop(rounds):
        rng = numpy.random.default_rng(rounds)
        steps = 0
        while True:
            env.step(rng.integers(0, 4, lakes, dtype=numpy.int32))
            steps += lakes
            yield steps

    return measured(loop)


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


print(
    json.dumps(
        {
            "python": sys.version.split()[0],
            "gymnasium": gymnasium.__version__,
            "envpool": version("envpool"),
            "sameLakeStepsPerSecond": measured(same),
            "bareStepsPerSecond": measured(bare),
            "textStepsPerSecond": measured(lambda rounds: told(rounds, lambda record: None)),
            "recordedStepsPerSecond": measured(digesting),
            "envpoolStepsPerSecond": envpool_steps(),
        }
    )
)
