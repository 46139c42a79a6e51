"""Writes crates/data/tests/fixtures/chat/golden.json: conversations rendered by Transformers' own `apply_chat_template`.

The templates beside it are those of the models (meta-llama/Meta-Llama-3-8B-Instruct, Llama-3.2-3B-Instruct, Qwen2.5, Qwen3, GLM-4, GLM-4.5,
SmolLM2, Mistral-7B-Instruct-v0.2, Gemma 3, Phi-3, Phi-3.5, DeepSeek-R1-Distill, gpt-oss, Qwen3.5, Qwen3-Coder) and, as `*_training.jinja`, TRL's variants with `{% generation %}` (Apache-2.0).

    python tests/reference/chat_templates.py
"""

import datetime
import json
from pathlib import Path

import jinja2
from transformers.utils import chat_template_utils

HERE = Path(__file__).parents[2] / "crates/data/tests/fixtures/chat"
NOW = datetime.datetime(2024, 7, 26, 12, 5, 9)


class Clock(datetime.datetime):
    """`strftime_now` at a moment that does not pass."""

    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Clock

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Weather of a <city> & its \"mood\" \u2014 天气",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": None}},
                "required": ["city"],
            },
        },
    }
]
USER = {"role": "user", "content": " Hi, 'you' & <me>\n"}
ANSWER = {"role": "assistant", "content": "Hello!\n\nWhat \"now\"? 好 "}
THOUGHT = {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nTwo."}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"type": "function", "function": {"name": "weather", "arguments": {"city": "Köln", "days": 1.5, "far": True, "x": None}}}
    ],
}
REPLY = {"role": "tool", "name": "weather", "content": "{\"sun\": 1}"}
MORE = {"role": "user", "content": "And then?"}
SYSTEM = {"role": "system", "content": "Be brief.\n"}

CASES = {
    "prompt": dict(messages=[USER], add_generation_prompt=True),
    "answer": dict(messages=[USER, ANSWER]),
    "system": dict(messages=[SYSTEM, USER, ANSWER]),
    "two_turns": dict(messages=[USER, THOUGHT, MORE, ANSWER]),
    "thought_last": dict(messages=[SYSTEM, USER, ANSWER, MORE, THOUGHT]),
    "reasoning": dict(messages=[USER, {**ANSWER, "reasoning_content": "\nBecause.\n"}]),
    "no_thinking": dict(messages=[USER], add_generation_prompt=True, enable_thinking=False),
    "tools": dict(messages=[SYSTEM, USER], tools=TOOLS, add_generation_prompt=True),
    "tool_call": dict(messages=[USER, CALL, REPLY, ANSWER], tools=TOOLS),
    "content_none": dict(messages=[USER, {**CALL, "content": None}, REPLY, ANSWER], tools=TOOLS),
    "assistant_first": dict(messages=[ANSWER, MORE, THOUGHT]),
    "system_two_turns": dict(messages=[SYSTEM, USER, ANSWER, MORE, ANSWER]),
    "reasoning_twice": dict(
        messages=[USER, {**ANSWER, "reasoning_content": "Because."}, MORE, {**ANSWER, "reasoning_content": "So."}]
    ),
    "two_users": dict(messages=[USER, MORE]),
    "no_message": dict(messages=[]),
}


def render(template, case, messages):
    return chat_template_utils.render_jinja_template(
        conversations=[messages],
        chat_template=template,
        tools=case.get("tools"),
        add_generation_prompt=case.get("add_generation_prompt", False),
        return_assistant_tokens_mask="{% generation" in template or "{%- generation" in template,
        bos_token="<s>",
        eos_token="</s>",
        **({"enable_thinking": False} if "enable_thinking" in case else {}),
    )


def without_none(messages):
    """As `apply_chat_template` passes messages: fields that are none are left out."""
    return [{name: value for name, value in message.items() if value is not None} for message in messages]


ERRORS = (jinja2.exceptions.TemplateError, TypeError)

golden = []
for path in sorted(HERE.glob("*.jinja")):
    template = path.read_text(encoding="utf-8")
    for name, case in CASES.items():
        entry = {"template": path.name, "case": name}
        try:
            try:
                rendered, marked = render(template, case, without_none(case["messages"]))
            except ERRORS:
                # Templates that ask whether a content is none need one, as earlier versions passed it.
                rendered, marked = render(template, case, case["messages"])
            entry["text"] = rendered[0]
            if marked:
                entry["generated"] = [rendered[0][start:end] for start, end in marked[0]]
        except jinja2.exceptions.TemplateError as error:
            entry["error"] = str(error)
        except TypeError as error:
            entry["error"] = f"TypeError: {error}"
        golden.append(entry)

text = json.dumps({"cases": CASES, "renderings": golden}, ensure_ascii=False, indent=1)
(HERE / "golden.json").write_text(text + "\n", encoding="utf-8")
print(len(golden), "renderings,", sum("error" in e for e in golden), "of them errors")
