"""Writes the tokenizer, processor and configuration of the tiny Qwen2.5-VL that the tiles ladder is made for.

``python -m observer.data.tiles.build DIRECTORY`` writes everything but weights; ``configs/warmstart.yaml``
trains those. The architecture is transformers' own ``Qwen2_5_VLForConditionalGeneration``, only small: .74 M
parameters.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from observer.data.tiles.draw import COLOURS, SIDE

VOCABULARY = 329
END = "<|im_end|>"
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    END,
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
TAGS = ("<observe>", "</observe>", "<think>", "</think>", "<answer>", "</answer>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for item in message.content %}"
    "{% if item.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ item.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE of VOCABULARY tokens: single digits, lossless, the six tags one token each."""
    tokenizer = Tokenizer(models.BPE())
    words = Regex(r" ?\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(TAGS),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    digits = " ".join(f"{a} + {b} = {a}{b}" for a, b in itertools.product(range(10), repeat=2))
    corpus = [
        f"user\nWhat is the sum of the {colour} tiles?\nassistant\nsystem\n {digits} " for colour in COLOURS
    ]
    tokenizer.train_from_iterator(corpus, trainer)
    # Added, not special: decoding must keep them, and user text that holds a tag means the tag.
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL[1:]),
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def build_processor() -> Qwen2_5_VLProcessor:
    """Return tokenizer, chat template and the real Qwen2-VL image processor, which keeps 84 x 84."""
    return Qwen2_5_VLProcessor(  # type: ignore[no-untyped-call]
        image_processor=Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=SIDE * SIDE * 4),
        tokenizer=build_tokenizer(),
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )


def build_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    """Return the configuration of the tiny model for a tokenizer."""
    ids = {name: tokenizer.get_vocab()[name] for name in SPECIAL}
    shared = {"initializer_range": 0.06}
    return Qwen2_5_VLConfig(
        text_config={
            **shared,
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 1024,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": None,
            "eos_token_id": ids[END],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            **shared,
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "out_hidden_size": 128,
            "window_size": 112,
            "fullatt_block_indexes": [1],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def write_blueprint(directory: Path) -> None:
    """Write processor and configuration, everything of the model but its weights, to a directory."""
    processor = build_processor()
    processor.save_pretrained(directory)
    build_config(processor.tokenizer).save_pretrained(directory)


if __name__ == "__main__":
    write_blueprint(Path(sys.argv[1]))
