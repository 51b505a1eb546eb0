"""vLLM as its users start it, without this package: questions about pictures to the model in a folder.

Arguments: the folder, a JSON file of [system prompt, question, path of a picture], the file to write.
Writes for each question the tokens of its prompt and of its greedy answer.
"""

import json
import os
import sys
from pathlib import Path

from PIL import Image

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process starts in half the time
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_NO_USAGE_STATS": "1",
}


def chat(system, question, path):
    content = [{"type": "image_pil", "image_pil": Image.open(path)}, {"type": "text", "text": question}]
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": content}]


def main(folder, asked, output):
    os.environ.update(ENVIRONMENT)
    from vllm import LLM, SamplingParams

    # To compile takes 40 seconds; weights of float32 are rounded to half of it unless they are asked for.
    llm = LLM(model=folder, dtype="float32", enforce_eager=True)
    chats = [chat(*one) for one in json.loads(Path(asked).read_text())]
    answers = llm.chat(chats, SamplingParams(temperature=0, max_tokens=64), use_tqdm=False)
    found = [[list(one.prompt_token_ids), list(one.outputs[0].token_ids)] for one in answers]
    Path(output).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
