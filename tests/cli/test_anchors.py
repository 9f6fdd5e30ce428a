import numpy as np
from PIL import Image
from typer.testing import CliRunner

from kmed.cli import app


def test_anchors_are_printed_with_their_recall(tmp_path):
    (tmp_path / "images").mkdir()
    rows = ["image,label,x1,y1,x2,y2"]
    for i, (width, height) in enumerate([(20, 30), (20, 30), (60, 40)]):
        Image.fromarray(np.full((100, 100), i, "uint8")).save(tmp_path / "images" / f"i{i}.png")
        rows.append(f"i{i}.png,cell,1,1,{1 + width},{1 + height}")
    (tmp_path / "boxes.csv").write_text("\n".join(rows) + "\n")
    result = CliRunner().invoke(app, ["anchors", str(tmp_path), "--count", "2"])
    assert result.exit_code == 0, result.output
    assert "3 boxes: recall 1.0000" in result.output
    assert "codec.anchors=[[20.0, 30.0], [60.0, 40.0]]" in result.output


def test_a_wrong_size_is_named(tmp_path):
    result = CliRunner().invoke(app, ["anchors", str(tmp_path), "--size", "416"])
    assert result.exit_code != 0
