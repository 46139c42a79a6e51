"""Makes crates/export/tests/fixtures/chat_probes.json: what chat templates make of the four conversations by which `recognise_template` knows them.
usage: chat_probes.py TEMPLATES OUT.json

TEMPLATES is crates/data/tests/fixtures/chat. A conversation that a template refuses is null. Needs transformers."""
import json, pathlib, sys
from transformers.utils.chat_template_utils import _compile_jinja_template

templates, out = map(pathlib.Path, sys.argv[1:])
texts = {file.stem: file.read_text() for file in sorted(templates.glob("*.jinja"))}
texts["zephyr"] = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n' + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}")
texts["gemma2"] = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}")
system, ask, answer, again = (dict(role=role, content=content) for role, content in [
    ("system", "Rule four."), ("user", "Quest one?"), ("assistant", "Reply two."), ("user", "Quest three?")])
conversations = [[ask], [ask, answer, again], [system, ask], [system, ask, answer, again]]
table = {}
for name, text in texts.items():
    template, eos = _compile_jinja_template(text), "</s>" if name == "zephyr" else "<eos>"
    table[name] = []
    for turns in conversations:
        try:
            said = template.render(messages=turns, add_generation_prompt=True, bos_token="<bos>", eos_token=eos, tools=None)
            table[name].append(said.removeprefix("<bos>"))
        except Exception:
            table[name].append(None)
out.write_text(json.dumps(table, indent=1) + "\n")
