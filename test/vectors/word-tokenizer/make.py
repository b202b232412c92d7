"""What the Rust library makes of `tokenizer.json`, which is `wordTokenizer(["U", "D", "?", "win", "v-1", "naïve", "|"])`.

    python -m venv venv && venv/bin/pip install tokenizers==0.23.3
    venv/bin/python test/vectors/word-tokenizer/make.py
"""
import json
import pathlib

from tokenizers import Tokenizer

here = pathlib.Path(__file__).parent
texts = [
    "",
    " ",
    "   ",
    "U",
    "<solve> U D ? | win v-1 naïve",
    "<update> U | D <ctx>",
    " U  D ",
    "Up UD U? win. U\nD U\tD",
    "nai\u0308ve na\u00efve",
    "U <end> D<end>\n<pad>U",
    "<0x41> <0x20>A | <|im_start|>",
    "\u2581U \u0120U \u00a0U",
    "\ufeff U\ufeffD \u0000",
    "\U0001f98a\U0001f469\u200d\U0001f4bb \u05e9\u05dc\u05d5\u05dd 12345678901234567890",
]
tokenizer = Tokenizer.from_file(str(here / "tokenizer.json"))
cases = [
    {"text": text, "tokens": (ids := tokenizer.encode(text, add_special_tokens=False).ids), "decoded": tokenizer.decode(ids)}
    for text in texts
]
(here / "expected.json").write_text(json.dumps(cases, indent=1) + "\n")
