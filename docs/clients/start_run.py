"""PRELABEL_API_KEY=plk_… python start_run.py http://localhost:8000 20000: so many texts and a run; its topic"""

import json
import os
import sys
import urllib.request

api, rows = sys.argv[1], int(sys.argv[2])
headers = {"Authorization": f"Bearer {os.environ['PRELABEL_API_KEY']}", "Content-Type": "application/json"}


def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(api + path, data, headers), timeout=60) as answer:
        return json.load(answer)


options = [{"name": "offensive"}, {"name": "not offensive"}]
ontology = {"classifications": [{"type": "radio", "name": "Tone", "options": options}]}
project = call("/v1/projects", {"name": "To be followed", "media_type": "text", "ontology": ontology})
path = f"/v1/projects/{project['id']}"
texts = [{"global_key": f"text-{number}", "text": f"text {number}, you fool"} for number in range(rows)]
for start in range(0, rows, 1_000):
    call(f"{path}/data-rows", {"items": texts[start : start + 1_000]})
call(f"{path}/batches", {"name": "all", "all": True})
model = next(one["id"] for one in call(f"{path}/models")["items"] if one["slug"] == "text-offensive")
entries = call(f"{path}/models/{model}/alignment")["entries"]
wanted = {"model_id": model, "threshold": 0.5, "alignment": {"entries": entries}, "reuse": False}
print(f"model_run:{call(f'{path}/model-runs', wanted)['id']}")
