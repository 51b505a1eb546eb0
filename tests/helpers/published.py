"""Rows in the schemas that other projects publish, each with the answer and the number of pictures it has."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from observer.data import Columns

SYSTEM = {"role": "system", "content": "Think in <think> tags."}
THINK = (
    "You FIRST think about the reasoning process as an internal monologue and then provide the final answer. "
    "The reasoning process MUST BE enclosed within <think> </think> tags. The final answer MUST BE put in "
    "\\boxed{}."
)
HINT = "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end."


def png(shade, size=(12, 8)):
    """The bytes of a small picture."""
    file = io.BytesIO()
    Image.new("RGB", size, (shade % 256, shade // 256 % 256, 7)).save(file, "PNG")
    return file.getvalue()


def held(number):
    """A picture as ``datasets`` stores it."""
    return {"bytes": png(number), "path": f"images_{number}.png"}


def easy_r1(n):
    return {"images": [held(n)], "problem": f"<image>What is {n} + 1?", "answer": str(n + 1), "id": n} | {
        "choices": ["1", "2"],
        "ground_truth": "B",
    }


def verl(n):
    prompt = [SYSTEM, {"role": "user", "content": f"<image>What is {n} + 1? {THINK}"}]
    reward = {"style": "rule", "ground_truth": str(n + 1)}
    extra = {"split": "train", "index": n, "answer": str(n + 1), "question": f"<image>What is {n} + 1?"}
    return {"data_source": "sums", "prompt": prompt, "images": [held(n)], "ability": "math"} | {
        "reward_model": reward,
        "extra_info": extra,
    }


def trl(n):
    content = [{"type": "image", "text": None}, {"type": "text", "text": f"What is {n} + 1?"}]
    prompt = [{"role": "system", "content": [{"type": "text", "text": "Think."}]}]
    return {"prompt": [*prompt, {"role": "user", "content": content}], "image": held(n)} | {
        "solution": f"<answer> ${n + 1}$ </answer>",
    }


def mm_eureka(n):
    turns = [SYSTEM, {"role": "user", "content": f"<image>What is {n} + 1?"}]
    return {"id": str(n), "conversations": turns, "answer": f"\\boxed{{{n + 1}}}"} | {
        "image_urls": [f"file://FOLDER/{n % 3}.png"]
    }


def ms_swift(n):
    turns = [
        {"role": "user", "content": f"<image><image>What is {n} + 1?"},
        {"role": "assistant", "content": "As it is."},
    ]
    return {"messages": turns, "images": [f"{n % 3}.png", "0.png"], "solution": f"So \\boxed{{{n + 1}}}."}


def math_vision(n):
    row = {"id": str(n), "question": f"What is {n} + 1?\n<image1>", "options": [], "answer": str(n + 1)}
    row |= {"solution": None, "level": n % 5 + 1, "subject": "arithmetic", "image": f"images/{n}.jpg"}
    if n % 2:
        row |= {"options": [f"${n}$", f"${n + 1}$", "3", "4", "5"], "answer": "B"}
    return row | {"decoded_image": held(n)}


def we_math(n):
    return {
        "ID": "2steps_1",
        "split": "testmini",
        "knowledge concept": "Conversion",
        "question": f"In the diagram, {n} + 1 is ( ) m",
        "option": f"A. {n};B. {n + 1};    C. 3000, 4000; D. No correct answer",
        "answer": "B",
        "image_path": f"{n % 3}.png",
        "key": "2steps_1",
        "question number": n,
        "knowledge concept description": "Long.",
    }


def polymath(n):
    return {"image": held(n), "category": "numerical_reasoning", "answer_option": "1,2,3,4"} | {
        "final_answer_range": "1-4",
        "final_answer": str(n % 4 + 1),
    }


def scemqa(n):
    return {
        "Question": f"What is {n} + 1?\n\nA. {n}\nB. {n + 1}\nC. {n + 2}",
        "Answer (final answer highlighted)": ["B", "B As it is.", "(B) As it is."][n % 3],
        "ImagePath": str(n % 3),
    }


def mathv360k(n):
    asked = f"<image>\n{HINT}\nQuestion: What is {n} + 1?\nChoices:\n(A) {n}\n(B) {n + 1}"
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": "The answer is B"}]
    return {"id": "identity_1", "image": f"TabMWP/images/{n % 3}.png", "conversations": turns}


def math_vista(n):
    hint = "Hint: Answer with an integer."
    row = {"pid": str(n), "question": f"What is {n} + 1?", "image": f"images/{n}.jpg"}
    row |= {"decoded_image": held(n), "choices": None, "unit": None, "precision": 1.0, "answer": str(n + 1)}
    row |= {"question_type": "free_form", "answer_type": "integer"}
    row |= {
        "metadata": {"category": "math-targeted-vqa", "context": "synthetic scene", "grade": "daily life"}
    }
    row["metadata"] |= {"img_height": 8, "img_width": 12, "language": "english", "skills": ["arithmetic"]}
    row["metadata"] |= {"source": "CLEVR-Math", "split": "testmini", "task": "math word problem"}
    row["query"] = f"{hint}\nQuestion: What is {n} + 1?"
    if n % 2:  # the answer is the text of a choice
        row |= {"choices": [str(n), str(n + 1)], "question_type": "multi_choice", "answer_type": "text"}
        row |= {
            "precision": None,
            "query": f"{HINT}\nQuestion: What is {n} + 1?\nChoices:\n(A) {n}\n(B) {n + 1}",
        }
    return row


def math_verse(n):
    question = f"What is {n} + 1?\nChoices:\nA:{n}\nB:{n + 1}\nC:{n + 2}\nD:No correct answer"
    row = {"sample_index": str(n), "problem_index": str(n // 5), "problem_version": "Text Dominant"}
    row |= {"question": question, "image": held(n), "answer": "B", "question_type": "multi-choice"}
    row |= {"query_wo": f"{HINT}\n{question}", "query_cot": f"{HINT}\n{question}"}
    metadata = {"split": "testmini", "source": "Geometry3K", "subject": "Plane Geometry", "subfield": "Angle"}
    return row | {"metadata": metadata, "question_for_eval": question}


def mmmu(n):
    row = {"id": f"validation_Math_{n}", "question": f"What is {n} + 1? <image 1>", "explanation": "B."}
    row |= {"options": f"['{n}', '{n + 1}', '$x$']", "answer": "B", "question_type": "multiple-choice"}
    row |= {"topic_difficulty": "Easy", "subfield": "Arithmetic", "img_type": "['Tables']"}
    return row | {f"image_{place}": held(n) if place == 1 else None for place in range(1, 8)}


def mm_bench(n):
    row = {"index": n, "question": f"What is {n} + 1?", "hint": "Count." if n % 2 else "nan", "answer": "B"}
    row |= {"A": str(n), "B": str(n + 1), "C": "none", "D": "nan", "category": "counting", "image": held(n)}
    return row | {"source": "mm", "L2-category": "reasoning", "comment": None, "split": "dev"}


def mm_star(n):
    question = f"What is {n} + 1?\nOptions: A: {n}, B: {n + 1}, C: {n + 2}, {n + 3}, D: none"
    row = {"index": n, "question": question, "image": held(n), "answer": "B", "category": "math"}
    meta = {"source": "MathVista", "split": "testmini", "image_path": f"images/{n}.jpg"}
    return row | {"l2_category": "arithmetic", "meta_info": meta}


def clevr_counting(n):
    asked = {"question": f"What is {n} + 1?", "ground_truth": n + 1}
    if n % 2:
        asked = {"problem": f"What is {n} + 1?", "solution": f"<answer> {n + 1} </answer>"}
    return {"image_path": f"./{n % 3}.png"} | asked


SCHEMAS = {
    "math_vista": (math_vista, "parquet"),
    "math_verse": (math_verse, "parquet"),
    "mmmu": (mmmu, "parquet"),
    "mm_bench": (mm_bench, "parquet"),
    "mm_star": (mm_star, "parquet"),
    "geometry3k": (easy_r1, "parquet"),
    "clevr_counting": (clevr_counting, "jsonl"),
    "easy_r1": (easy_r1, "parquet"),
    "verl": (verl, "parquet"),
    "trl": (trl, "parquet"),
    "mm_eureka": (mm_eureka, "jsonl"),
    "ms_swift": (ms_swift, "jsonl"),
    "math_vision": (math_vision, "parquet"),
    "we_math": (we_math, "json"),
    "polymath": (polymath, "parquet"),
    "scemqa": (scemqa, "json"),
    "mathv360k": (mathv360k, "json"),
}
"""Preset -> a row of its schema by number, and the ending of its files."""
BENCHMARKS = ("math_vista", "math_verse", "mmmu", "mm_bench", "mm_star", "geometry3k", "clevr_counting")
"""Presets of benchmarks whose rows have a test of their own."""


def pictures(folder):
    """Write the pictures that rows name by their paths."""
    for number in range(3):
        for place in (folder, folder / "data_images" / "TabMWP" / "images"):
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.png").write_bytes(png(number))


def in_folder(value, folder):
    """A value, with the folder in place of its name."""
    return json.loads(json.dumps(value).replace("FOLDER", str(folder)))


def written_as(folder, name, records, ending=None):
    """The file of these records in the form that a preset's data set is published in."""
    ending = ending or SCHEMAS[name][1]
    path = folder / f"{name}.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(records), path, row_group_size=5)
        return str(path)
    if name == "scemqa":
        path.write_text(json.dumps({"Math": records[::2], "Physics": records[1::2]}))
    elif ending == "json":
        path.write_text(json.dumps(records, indent=1))
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def published(folder, name, count=9, **options):
    """The format of rows in a preset's schema, whose files and pictures are written."""
    pictures(folder)
    row = SCHEMAS[name][0]
    records = [row(n) if SCHEMAS[name][1] == "parquet" else in_folder(row(n), folder) for n in range(count)]
    return Columns(written_as(folder, name, records), preset=name, **options)
