#!/usr/bin/env python3
"""Renders small chat templates as transformers does, with the constructs that published ones use; writes chat_templates.json beside this file.

  make_chat_templates.py        (needs transformers and jinja2)
"""
import json
import os

from transformers.utils.chat_template_utils import render_jinja_template

TALK = [{"role": "user", "content": " Hello there "}, {"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "What is 1 < 2 & \"3\"?"}]
SYSTEM = [{"role": "system", "content": "Be brief."}] + TALK

T = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "header": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start|>' + message['role'] + '<|end|>\n\n'+ message['content'] | trim + '<|eot|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\n\n' }}{% endif %}",
    "inst": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    "system-first": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "whitespace": "{%- for message in messages -%}\n    {%- if message.role == 'user' %}\n        {{- 'U: ' + message.content }}\n    {%- else %}\n        {{- 'A: ' ~ message.content -}}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- 'A:' }}\n{%- endif %}\n",
    "blocks": "{% for message in messages %}\n    {% if not loop.first %}\n---\n    {% endif %}\n{{ message.role | upper }}: {{ message.content }}\n    {% if loop.last %}\nend\n    {% endif %}\n{% endfor %}\n",
    "namespace": "{% set ns = namespace(count=0, system='') %}{% for m in messages %}{% if m.role == 'system' %}{% set ns.system = m.content %}{% else %}{% set ns.count = ns.count + 1 %}{% endif %}{% endfor %}{{ ns.system }}|{{ ns.count }}{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}",
    "defined": "{% if tools is defined and tools %}TOOLS{% else %}no tools{% endif %}{% if messages[0].name is not defined %} nameless{% endif %}{{ messages[-1].content | trim }}",
    "tojson": "{% for m in messages %}{{ m.content | tojson }};{% endfor %}",
    "join": "{{ messages | map(attribute='role') | join(', ') }} {{ messages | length }} {{ 'a' in 'cat' }} {{ ['x', 'y'][1] }}",
    "ternary": "{% for m in messages %}{{ 'Human' if m['role'] == 'user' else 'Robot' }}: {{ m['content'] }}\n{% endfor %}{{ 'Robot:' if add_generation_prompt else '' }}",
    "macro": "{% macro turn(role, text) %}<{{ role }}>{{ text }}</{{ role }}>\n{% endmacro %}{% for m in messages %}{{ turn(m.role, m.content) }}{% endfor %}",
    "select": "{% set users = messages | selectattr('role', 'equalto', 'user') | list %}{{ users | length }}:{{ users[0].content }}{% for m in messages | rejectattr('role', 'equalto', 'system') %}|{{ m.role }}{% endfor %}",
    "methods": "{% for m in messages %}{% if m.content.startswith(' ') %}[{{ m.content.lstrip() }}]{% elif m.content.endswith('?') %}({{ m.content.rstrip('?') }}){% else %}{{ m.content.replace('H', 'J') }}{% endif %}{% endfor %}",
    "string-test": "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{{ eos_token if not loop.last }}{% endfor %}",
    "default": "{{ system_prompt | default('You are helpful.', true) }}{% for m in messages %} {{ m.role[0] | upper }}{{ m.content | default('none') }}{% endfor %}",
    "range": "{% for i in range(0, messages | length, 2) %}{{ i }}={{ messages[i].content }};{% endfor %}",
    "split": "{% for m in messages %}{{ m.content.split(' ')[-1] }}/{% endfor %}{{ 'a,b'.split(',') | join('+') }}",
    "items": "{% for m in messages %}{% for key, value in m.items() %}{{ key }}:{{ value }} {% endfor %}{% endfor %}",
    "comment": "{# nothing to say #}{%- set sep = '\\n' -%}\n{% for m in messages %}{{ m.content }}{{ sep }}{% endfor %}",
    "nested": "{% for m in messages %}{% set role = m.role %}{% if role == 'system' %}S{% elif role in ['user', 'human'] %}{% if loop.index > 1 and messages[loop.index0 - 1].role == 'system' %}+{% endif %}U{% else %}A{% endif %}{{ loop.index }}{{ loop.revindex }}{% endfor %}",
    "braces": "{{ '{{ not a template }}' }}{% for m in messages %}{{ m.content }}{% endfor %}{{ \"it's\" }}",
}

out = []
for name, template in T.items():
    for which, messages in (("talk", TALK), ("system", SYSTEM)):
        for prompt in (True, False):
            case = {"name": f"{name}, {which}, {prompt}", "template": template, "messages": messages, "add_generation_prompt": prompt}
            try:
                rendered, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=prompt, bos_token="<s>", eos_token="</s>")
                case["expected"] = rendered[0]
            except Exception as e:
                case["refused"] = str(e)
            out.append(case)
json.dump(out, open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_templates.json"), "w"), indent=1, ensure_ascii=False)
print(len(out), "cases,", sum("refused" in c for c in out), "refused")
