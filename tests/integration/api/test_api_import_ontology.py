from typing import Any

import httpx2
import orjson
import pytest

from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio

LABELBOX = {
    "tools": [
        {
            "tool": "rectangle", "name": "Car", "color": "#ff0000", "required": True,
            "classifications": [
                {"type": "radio", "name": "colour", "instructions": "Which colour?", "options": [
                    {"label": "Red", "value": "red", "options": [{"type": "text", "name": "shade"}]},
                    {"label": "Dark blue", "value": "b"},
                ]},
            ],
        },
        {"tool": "edge", "name": "follows"},
    ],
    "classifications": [{"type": "checklist", "name": "Flags", "options": [{"label": "night", "value": "night"}]}],
}  # fmt: skip
LABEL_STUDIO = """<View><Image name="i" value="$image"/>
<RectangleLabels name="b" toName="i"><Label value="Car"/><Label value="Dog"/></RectangleLabels>
<Choices name="colour" toName="i" perRegion="true" whenLabelValue="Car"><Choice value="red"/></Choices>
<Choices name="Scene" toName="i" choice="multiple"><Choice value="in"/><Choice value="out"/></Choices>
<TextArea name="Caption" toName="i"/><Rating name="r" toName="i"/></View>"""
CVAT = [
    {"name": "car", "type": "polygon", "color": "#00ff00", "attributes": [
        {"name": "parked", "input_type": "checkbox", "values": ["false"], "mutable": False, "default_value": "false"},
        {"name": "model", "input_type": "select", "values": ["a", "b"], "mutable": False, "default_value": ""},
    ]},
    {"name": "rainy", "type": "tag", "attributes": []},
    {"name": "body", "type": "skeleton"},
]  # fmt: skip
CVAT_EXPORTED = [
    {"name": "car", "type": "any", "color": "#ff0000", "attributes": [
        {"name": "make", "input_type": "select", "mutable": True, "default_value": "a", "values": ["a", "b & c"]},
        {"name": "note", "input_type": "text", "mutable": False, "default_value": "", "values": []},
    ]},
    {"name": "rainy", "type": "tag", "attributes": []},
]  # fmt: skip
CVAT_XML = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><job><id>1</id><labels>
  <label><name>car</name><color>#ff0000</color><type>any</type><attributes>
    <attribute><name>make</name><mutable>True</mutable><input_type>select</input_type>
      <default_value>a</default_value><values>a
b &amp; c</values></attribute>
    <attribute><name>note</name><mutable>False</mutable><input_type>text</input_type>
      <default_value></default_value><values></values></attribute>
  </attributes></label>
  <label><name>rainy</name><color></color><type>tag</type><attributes></attributes></label>
</labels></job></meta>
<image id="0" name="a.jpg"><box label="car" xtl="1" ytl="1" xbr="2" ybr="2"/></image></annotations>"""
COCO = {
    "categories": [{"id": 1, "name": "cat", "supercategory": "animal"}, {"id": 2, "name": "pose", "keypoints": ["a"]}]
}
BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><View>&c;</View>"""


async def _import(
    client: httpx2.AsyncClient, project: str, name: str, content: bytes, etag: str = '"0"'
) -> httpx2.Response:
    kind = "application/xml" if content.startswith(b"<") else "application/json"
    return await client.post(
        f"/v1/projects/{project}/ontology/import",
        params={"format": name},
        content=content,
        headers={"Content-Type": kind, "If-Match": etag},
    )


async def _project(client: httpx2.AsyncClient) -> str:
    answer = await client.post("/v1/projects", json={"name": "p", "media_type": "image"})
    return str(answer.json()["id"])


def _shape(nodes: list[dict[str, Any]]) -> list[Any]:
    return [
        (one["name"], one.get("type"), _shape(one.get("classifications", [])), _shape(one.get("options", [])))
        for one in nodes
    ]


async def test_labelbox(api: Api, workspace: Workspace) -> None:
    client = api.as_(workspace)
    project = await _project(client)
    answer = await _import(client, project, "labelbox", orjson.dumps(LABELBOX))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    shade: list[Any] = [("shade", "free_text", [], [])]
    colour: tuple[Any, ...] = ("colour", "radio", [], [("Red", None, shade, []), ("Dark blue", None, [], [])])
    assert _shape(found["tools"]) == [("Car", "bounding_box", [colour], [])]
    assert _shape(found["classifications"]) == [("Flags", "checklist", [], [("night", None, [], [])])]
    assert {(one["about"], one["code"]): one["count"] for one in found["losses"]} == {
        ("tool edge", "tool_not_supported"): 1, ("option", "value_dropped"): 1,
    }  # fmt: skip
    again = await _import(client, project, "labelbox", orjson.dumps(LABELBOX), answer.headers["etag"])
    assert again.json()["tools"] == found["tools"], "what is named the same keeps its id"
    assert (await _import(client, project, "labelbox", orjson.dumps(LABELBOX))).status_code == 412


async def test_label_studio(api: Api, workspace: Workspace) -> None:
    client = api.as_(workspace)
    answer = await _import(client, await _project(client), "label_studio", LABEL_STUDIO.encode())
    assert answer.status_code == 200, answer.text
    found = answer.json()
    colour: tuple[Any, ...] = ("colour", "radio", [], [("red", None, [], [])])
    assert _shape(found["tools"]) == [("Car", "bounding_box", [colour], []), ("Dog", "bounding_box", [], [])]
    assert [one[:2] for one in _shape(found["classifications"])] == [("Scene", "checklist"), ("Caption", "free_text")]
    assert [(one["about"], one["code"]) for one in found["losses"]] == [("Rating", "tag_not_supported")]


async def test_cvat_and_coco(api: Api, workspace: Workspace) -> None:
    client = api.as_(workspace)
    found = (await _import(client, await _project(client), "cvat", orjson.dumps(CVAT))).json()
    assert [one[:2] for one in _shape(found["tools"])] == [("car", "polygon")]
    assert [one[:2] for one in _shape(found["tools"][0]["classifications"])] == [
        ("parked", "radio"),
        ("model", "radio"),
    ]
    assert [one[:2] for one in _shape(found["classifications"])] == [("rainy", "checklist")]
    assert {one["code"] for one in found["losses"]} == {"label_not_supported", "default_dropped"}
    found = (await _import(client, await _project(client), "coco", orjson.dumps(COCO))).json()
    assert [one[:2] for one in _shape(found["tools"])] == [("cat", "bounding_box"), ("pose", "point")]
    assert {one["code"] for one in found["losses"]} == {"supercategory_dropped", "keypoints_dropped"}


async def test_cvat_labels_come_as_the_xml_of_an_export_too(api: Api, workspace: Workspace) -> None:
    client = api.as_(workspace)
    as_json = (await _import(client, await _project(client), "cvat", orjson.dumps(CVAT_EXPORTED))).json()
    answer = await _import(client, await _project(client), "cvat", CVAT_XML.encode())
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert _shape(found["tools"]) == _shape(as_json["tools"])
    assert _shape(found["classifications"]) == _shape(as_json["classifications"])
    assert {one["code"] for one in found["losses"]} == {"default_dropped", "mutable_dropped", "type_guessed"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cvat", BOMB.encode()),
        ("cvat", b"<annotations><meta/></annotations>"),
        ("label_studio", BOMB.encode()),
        ("label_studio", b"<View"),
        ("labelbox", b"{"),
        ("labelbox", b'{"tools": 3}'),
        ("labelbox", b'{"tools": [{"tool": "rectangle", "name": "a"}, {"tool": "point", "name": "A"}]}'),
        ("coco", b'{"categories": [7]}'),
        ("cvat", b"[" * 100_000),
        ("nothing", b"{}"),
    ],
)
async def test_what_cannot_be_read_is_a_problem(api: Api, workspace: Workspace, name: str, content: bytes) -> None:
    client = api.as_(workspace)
    answer = await _import(client, await _project(client), name, content)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
