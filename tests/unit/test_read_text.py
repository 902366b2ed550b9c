"""The parts of the model that reads text, without its networks."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.triton.python_models.read_text.lines import HEIGHT, as_input, cut_line, filled_width, read
from deploy.triton.python_models.read_text.regions import content_box, find_quads


def test_each_core_of_a_line_grows_to_its_whole_height() -> None:
    likely = np.zeros((200, 300), np.float32)
    likely[50:60, 40:200] = 0.9
    likely[120:130, 40:100] = 0.4  # too unsure as a whole
    likely[10:12, 10:12] = 0.9  # too small
    (quad,) = find_quads(likely)
    grown = 160 * 10 * 1.6 / (2 * 170)
    assert quad[0] == pytest.approx([40 - grown, 50 - grown], abs=2)
    assert quad[2] == pytest.approx([200 + grown, 60 + grown], abs=2)


def test_corners_run_clockwise_from_the_top_left_of_tilted_lines_too() -> None:
    likely = np.zeros((300, 300), np.float32)
    corners = cv2.boxPoints(((150, 150), (200, 20), 15))
    cv2.fillPoly(likely, [corners.astype(np.int32)], (1.0,))
    (quad,) = find_quads(likely)
    top_left, top_right, bottom_right, bottom_left = quad
    assert top_left[0] < top_right[0]
    assert bottom_left[0] < bottom_right[0]
    assert top_left[1] < bottom_left[1]
    assert top_right[1] < bottom_right[1]
    assert np.degrees(np.arctan2(*(top_right - top_left)[::-1])) == pytest.approx(15, abs=3)


def test_nothing_likely_is_no_line() -> None:
    assert find_quads(np.zeros((64, 64), np.float32)) == []


def test_the_black_ground_is_left_out() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    assert content_box(image) == (0, 0, 0, 0)
    image[3:10, 5:29] = 7
    assert content_box(image) == (3, 10, 5, 29)


def test_a_line_is_cut_out_straight() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[40:60, 20:120] = 200
    line = cut_line(image, np.array([[20, 40], [120, 40], [120, 60], [20, 60]], np.float32))
    assert line.shape == (HEIGHT, 240, 3)
    assert line.min() > 150


def test_text_that_runs_down_is_turned() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[10:20, 40:60] = 255  # at the top, so at the left once it lies
    line = cut_line(image, np.array([[40, 10], [60, 10], [60, 90], [40, 90]], np.float32))
    assert line.shape[1] > 3 * HEIGHT
    assert line[:, :10].min() > line[:, -10:].max()


def test_lines_are_filled_to_widths_of_their_own() -> None:
    short, long = np.full((HEIGHT, 10, 3), 255, np.uint8), np.full((HEIGHT, 330, 3), 255, np.uint8)
    assert (filled_width(short), filled_width(long)) == (320, 480)
    filled = as_input([short], 320)
    assert filled.shape == (1, 3, HEIGHT, 320)
    assert (filled[..., :10] == 1).all()
    assert (filled[..., 10:] == 0).all()


def said(steps: list[int]) -> NDArray[np.float32]:
    """What the network says when it is sure by 0.8 of these characters, one a step."""
    probabilities = np.full((len(steps), 4), 0.1, np.float32)
    probabilities[np.arange(len(steps)), steps] = 0.8
    return probabilities


BLANK = np.full((HEIGHT, 320, 3), 255, np.uint8)


def test_repeated_steps_are_one_character_and_pauses_divide() -> None:
    text, certainty = read(said([0, 1, 1, 0, 1, 2, 0]), ["", "l", "o", "1"], BLANK)
    assert text == "llo"
    assert certainty == pytest.approx(0.8)
    assert read(said([0]), ["", "l", "o", "1"], BLANK) == ("", 0.0)


@pytest.mark.parametrize(
    ("characters", "gap", "text"),
    [("lo1", 4, "lolo"), ("lo1", 10, "lo lo"), ("115", 10, "1111"), ("115", 20, "11 11"), ("東京1", 20, "東京東京")],
)
def test_a_gap_in_the_picture_is_a_space(characters: str, gap: int, text: str) -> None:
    line = BLANK.copy()
    columns = np.arange(320)
    line[10:40, (columns >= 20) & (columns < 300)] = 0
    line[10:40, (columns % 2 == 0)] = 255  # strokes with hardly any room between them
    line[10:40, 160 - gap // 2 : 160 + gap - gap // 2] = 255
    steps = [0] * 40  # of 8 columns each
    steps[4], steps[14], steps[24], steps[34] = 1, 2, 1, 2
    assert read(said(steps), ["", *characters], line)[0] == text
