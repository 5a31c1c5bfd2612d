"""A real weights file of a few hundred kilobytes: a llama of one layer with random weights, that talks gibberish.

llama.cpp loads it like any other model, so tests of the engine need no download and take no time.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

EMBEDDING, HEADS, FEED_FORWARD, CONTEXT = 32, 4, 64, 4096
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def write_tiny_gguf(path: Path, *, layers: int = 1, context: int = CONTEXT) -> Path:
    """Write the model; the same bytes each time. More layers make it slower."""
    tokens = [*SPECIAL, *_byte_letters()]
    facts = {
        "general.architecture": "llama",
        "general.name": "tiny",
        "llama.block_count": layers,
        "llama.context_length": context,
        "llama.embedding_length": EMBEDDING,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": EMBEDDING // HEADS,
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)),
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }
    tensors = _tensors(len(tokens), layers)
    head = b"".join(_string(key) + _value(value) for key, value in facts.items())
    table, body = b"", b""
    for name, numbers in tensors.items():
        # Dimensions are given fastest first; 0 is the type number of float32.
        table += _string(name) + struct.pack("<I", numbers.ndim)
        table += b"".join(struct.pack("<Q", size) for size in reversed(numbers.shape))
        table += struct.pack("<IQ", 0, len(body))
        body += numbers.tobytes()
        body += b"\0" * (-len(body) % 32)
    start = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts)) + head + table
    path.write_bytes(start + b"\0" * (-len(start) % 32) + body)
    return path


def _tensors(vocabulary: int, layers: int) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(7)

    def noise(*shape: int) -> NDArray[np.float32]:
        return random.normal(0, 0.2, shape).astype(np.float32)

    ones = np.ones(EMBEDDING, dtype=np.float32)
    found = {"token_embd.weight": noise(vocabulary, EMBEDDING)}
    for layer in range(layers):
        block = f"blk.{layer}."
        found[f"{block}attn_norm.weight"] = ones
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            found[f"{block}{name}.weight"] = noise(EMBEDDING, EMBEDDING)
        found[f"{block}ffn_norm.weight"] = ones
        found[f"{block}ffn_gate.weight"] = noise(FEED_FORWARD, EMBEDDING)
        found[f"{block}ffn_up.weight"] = noise(FEED_FORWARD, EMBEDDING)
        found[f"{block}ffn_down.weight"] = noise(EMBEDDING, FEED_FORWARD)
    found["output_norm.weight"] = ones
    output = noise(vocabulary, EMBEDDING) * 5
    output[len(SPECIAL) + 128 :] = 0  # half a letter is no text: bytes beyond ASCII stay unlikely
    found["output.weight"] = output
    return found


def _byte_letters() -> list[str]:
    """The printable letter that stands for each byte in vocabularies of this kind."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    shifted = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(shifted)) for byte in range(256)]


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: object) -> bytes:
    """A typed value: bool 7, string 8, array 9, unsigned 4, float 6."""
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + _string(value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(_string(one) for one in value)
        case [*numbers]:
            return struct.pack("<IIQ", 9, 5, len(numbers)) + b"".join(struct.pack("<i", one) for one in numbers)
        case _:
            raise TypeError(f"{value!r} has no place in a GGUF file")
