"""Results survive their file, and only those measured alike are compared."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from gan_lab import UserError
from gan_lab.metrics.card import COMPARED, Card, compare, read_result, to_json, write_result


def result(value: float = 1.0, **changes) -> dict:
    card = Card(
        data="mnist",
        split="test",
        num_real=100,
        num_train=500,
        num_fake=100,
        image_shape=[1, 28, 28],
        real_sha256="a",
        train_sha256="b",
        extractor="c",
        ema=True,
    )
    metrics = {"fid": {"value": value, "interval": (value - 1, value + 1)}}
    return {"metrics": metrics, "card": {**asdict(card), **changes}}


def test_result_survives_its_file(tmp_path):
    path = tmp_path / "result.json"
    write_result(path, result())
    again = read_result(path)
    assert again["card"] == result()["card"]
    assert again["metrics"]["fid"] == {"value": 1.0, "interval": [0.0, 2.0]}
    assert Card.from_dict(again["card"]) == Card(**result()["card"])


def test_what_is_not_finite_becomes_null():
    text = to_json({"metrics": {1: float("nan"), 2: [float("inf"), 0.5]}})
    assert json.loads(text) == {"metrics": {"1": None, "2": [None, 0.5]}}


@pytest.mark.parametrize("text", ["", "[]", '{"metrics": {}}', '{"metrics": {}, "card": {}}'])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"is no result|has the fields"):
        read_result(path)


def test_compare_lines_up_what_all_results_have():
    one, two = result(1.0), result(2.0, seed=7, versions={"torch": "9"})
    two["metrics"]["kid"] = {"value": 0.1}
    table = compare([one, two])
    assert list(table) == ["fid"]
    assert [entry["value"] for entry in table["fid"]] == [1.0, 2.0]


@pytest.mark.parametrize("name", COMPARED)
def test_compare_refuses_each_difference_in_protocol(name):
    changes: dict[str, Any] = {name: "other"}
    with pytest.raises(UserError, match=rf"differ in {name}: .* / other"):
        compare([result(), result(**changes)])
    assert compare([result(), result(**changes)], ignore=[name])


def test_compare_refuses_unknown_fields_and_single_results():
    with pytest.raises(UserError, match=r"ignore=\['seed'\] are no fields"):
        compare([result(), result()], ignore=["seed"])
    with pytest.raises(UserError, match="1 results given"):
        compare([result()])
