"""What others pack and write: zips and XML that would hurt a careless reader, and what is refused of the rest."""

import io
import zipfile

import pytest

from services.api.exchange.formats import FORMATS, zip_files
from services.api.exchange.formats.base import UnusableUpload
from services.api.exchange.rows import LabelledRow
from shared.annotations import BoundingBox, Keypoints
from tests.support.labelled_rows import row_facts, write
from tests.support.uploads import label, take

YOLO, CVAT = FORMATS["yolo"], FORMATS["cvat"]
ROW = row_facts("image", "one.jpg")
NAMES = "names:\n  0: a bounding_box\n  3: A polygon\n"


def _zip(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return content.getvalue()


def _yolo(lines: str) -> bytes:
    return _zip(**{"data.yaml": NAMES, "labels/val/one.txt": lines, "images.csv": "one.txt,one.jpg\n"})


def test_others_name_pictures_by_their_key() -> None:
    row = row_facts("image", "two")
    content = _zip(**{"set/data.yaml": "names: [A polygon]", "set/train/labels/two.txt": "0 0 0 .5 0 .5 .5\n"})
    assert take(YOLO, content, [row]).only().annotation.area() == 32 * 24 / 2


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("0 0.5 0.5 0.1", "not_a_box"),
        ("0 0.5 0.5 0.1 0", "invalid_geometry"),
        ("0 0.5 0.5 nan 0.1", "not_a_number"),
        ("1 0.5 0.5 0.1 0.1", "unknown_class"),
        ("0.5 0.5 0.5 0.1 0.1", "not_a_whole_number"),
        ("0 0.5 0.5 0.1 0.1 7", "confidence_out_of_range"),
    ],
)
def test_a_line_that_is_wrong_is_refused_alone(line: str, code: str) -> None:
    found = take(YOLO, _yolo(f"{line}\n\n0 0.5 0.5 0.5 0.5\n"), [ROW])
    assert [record.annotation for record in found.rows["one.jpg"]] == [
        BoundingBox(left=16, top=12, width=32, height=24)
    ]
    assert [(one.place, one.error.code) for one in found.refusals] == [("labels/val/one.txt:1", code)]


def test_a_file_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_files, "MOST_BYTES_A_FILE", 100_000)
    (refusal,) = take(YOLO, _yolo("0" * 10_000_000), [ROW]).refusals
    assert refusal.error.code == "file_too_large"
    monkeypatch.setattr(zip_files, "MOST_BYTES", 50_000)
    with pytest.raises(UnusableUpload) as error:
        take(YOLO, _yolo("0" * 90_000), [ROW])
    assert error.value.code == "zip_too_large"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PK\x03\x04 no", "not_a_zip"),
        (_zip(other="x"), "class_names_missing"),
        (_zip(**{"data.yaml": "names: !!python/object/apply:os.system [ls]"}), "invalid_class_names"),
        (_zip(**{"data.yaml": "names: 7"}), "invalid_class_names"),
    ],
)
def test_an_upload_that_is_no_yolo_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(UnusableUpload) as error:
        take(YOLO, content, [ROW])
    assert error.value.code == code


def test_names_that_lead_out_of_the_zip_are_only_names() -> None:
    found = take(YOLO, _zip(**{"data.yaml": NAMES, "../../labels/one.jpg.txt": "0 .5 .5 .5 .5"}), [ROW])
    assert len(found.rows["one.jpg"]) == 1


def test_pictures_of_one_stem_get_files_of_their_own() -> None:
    rows = [LabelledRow(row_facts("image", key), []) for key in ("a.jpg", "a.png", "A.jpg", "x/../y.jpg", "ä.jpg")]
    content, _ = write(YOLO, rows)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.startswith("labels/")]
    assert len({name.lower() for name in names}) == 5
    assert all(".." not in name.split("/") for name in names)
    assert set(take(YOLO, content, [row.row for row in rows]).rows) == {row.row.global_key for row in rows}


def _cvat(inside: str, head: str = "") -> bytes:
    return f'{head}<annotations><image id="0" name="one.jpg">{inside}</image></annotations>'.encode()


def test_a_skeleton_and_points_without_names() -> None:
    skeleton = '<skeleton label="A point"><points label="nose" outside="0" occluded="1" points="1,2"/></skeleton>'
    keypoints = take(CVAT, _cvat(skeleton), [ROW]).only().annotation
    assert isinstance(keypoints, Keypoints)
    assert (keypoints.points[0].name, keypoints.points[0].visibility) == ("nose", 1)
    several = take(CVAT, _cvat('<points label="A point" points="1,2;3,4"/>'), [ROW]).only().annotation
    assert isinstance(several, Keypoints)


@pytest.mark.parametrize(
    ("element", "code"),
    [
        ('<box label="A bounding_box" xtl="1" ytl="2" xbr="1" ybr="3"/>', "invalid_geometry"),
        ('<box label="A bounding_box" xtl="1"/>', "not_a_number"),
        ('<box label="Unicorn" xtl="1" ytl="2" xbr="4" ybr="3"/>', "unknown_feature"),
        ('<polygon label="A polygon" points="1,2;3"/>', "odd_coordinates"),
        ('<mask label="A mask" rle="1" left="0" top="0" width="2" height="2"/>', "not_a_mask"),
        ('<mask label="A mask" rle="1" left="0" top="0" width="99999" height="99999"/>', "not_a_mask"),
        ('<ellipse label="A polygon" cx="1"/>', "kind_not_held"),
        ('<tag label="Scene"/>', "not_an_answer"),
    ],
)
def test_an_element_that_is_wrong_is_refused_alone(element: str, code: str) -> None:
    fine = '<box label="A bounding_box" xtl="1" ytl="2" xbr="4" ybr="3"/>'
    found = take(CVAT, _cvat(element + fine), [ROW])
    assert len(found.rows["one.jpg"]) == 1
    assert [(one.place, one.error.code) for one in found.refusals] == [("/annotations/image[1]/*[1]", code)]


@pytest.mark.parametrize(
    "content",
    [
        _cvat("&b;", '<!DOCTYPE a [<!ENTITY a "lol"><!ENTITY b "&a;&a;">]>'),
        _cvat("", '<!DOCTYPE a SYSTEM "file:///etc/passwd">'),
        b"<annotations><image",
        b"\xff\xfe\x00",
    ],
)
def test_xml_that_would_hurt_is_not_read(content: bytes) -> None:
    with pytest.raises(UnusableUpload) as error:
        take(CVAT, content, [ROW])
    assert error.value.code == "malformed_xml"


def test_a_box_in_cvat_has_the_picture_s_pixels() -> None:
    content, _ = write(
        CVAT, [LabelledRow(ROW, [label("A bounding_box", BoundingBox(left=1, top=2, width=3, height=4))])]
    )
    assert b'xtl="1.0" ytl="2.0" xbr="4.0" ybr="6.0"' in content
