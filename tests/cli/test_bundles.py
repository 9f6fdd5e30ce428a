"""evaluate, predict and export: what is typed arrives in the task's flow."""

from __future__ import annotations

from kmed.export import AgreementError


def test_evaluate(task, run, folder):
    split = folder / "split.json"
    split.write_text("{}")
    options = ["--output", "e", "--split-file", split, "--part", "validation"]
    result = run("evaluate", folder / "bundle", folder / "data", *options, "--flips")
    assert result.exit_code == 0, result.output
    (call,) = task.calls
    assert call.arguments == (folder / "bundle", folder / "data")
    assert str(call.options.pop("output")) == "e"
    assert call.options == {"split_file": split, "part": "validation", "flips": True}
    assert "0.912 [0.894, 0.927]" in result.stdout


def test_predict(task, run, folder):
    result = run("predict", folder / "bundle", folder / "data", folder / "data", "--to", "png")
    assert result.exit_code == 0, result.output
    (call,) = task.calls
    assert call.arguments == (folder / "bundle", [folder / "data", folder / "data"])
    assert str(call.options.pop("output")) == "findings"
    assert call.options == {"to": "png"}
    assert "1 files in findings" in result.stdout


def test_what_failed_is_named_and_makes_the_status_1(task, run, folder):
    task.failed = [("b.png", "not an image")]
    result = run("predict", folder / "bundle", folder / "data")
    assert result.exit_code == 1
    assert "failed: b.png: not an image" in result.stderr
    assert "1 files in findings" in result.stdout


def test_export(task, run, folder):
    options = ["--to", "onnx", "--to", "int8", "--to", "onnx", "--data", folder / "data"]
    result = run("export", folder / "bundle", *options)
    assert result.exit_code == 0, result.output
    (call,) = task.calls
    assert call.arguments == (folder / "bundle", ["onnx", "int8"])
    assert all(type(kind) is str for kind in call.arguments[1])
    assert call.options == {"data": folder / "data", "check": None}
    assert "wrote saved_models/x/1/model.onnx" in result.stdout


def test_int8_needs_data(task, run, folder):
    result = run("export", folder / "bundle", "--to", "int8")
    assert result.exit_code == 2
    assert "give --data PATH" in result.stderr
    assert not task.calls


def test_an_unknown_format_is_told_with_the_known_ones(task, run, folder):
    result = run("export", folder / "bundle", "--to", "onx")
    assert result.exit_code == 2
    assert "openvino" in result.stderr


def test_a_format_that_disagrees_is_an_error(task, run, folder, monkeypatch):
    def disagree(bundle, formats, *, data, check, say):
        assert check == folder / "data"
        raise AgreementError("onnx gives other labels than Keras")

    monkeypatch.setattr(task, "export", disagree)
    result = run("export", folder / "bundle", "--to", "onnx", "--check", folder / "data")
    assert result.exit_code == 2
    assert "error: onnx gives other labels than Keras" in result.stderr


def test_generate(task, run, folder):
    options = ["-n", "3", "--class", "Hand", "--seed", "7", "--output", "hands"]
    result = run("generate", folder / "bundle", *options)
    assert result.exit_code == 0, result.output
    (call,) = task.calls
    assert call.arguments == (folder / "bundle", 3)
    assert str(call.options.pop("output")) == "hands"
    assert call.options == {"class_name": "Hand", "seed": 7, "to": "auto"}
    assert "1 files in hands" in result.stdout


def test_what_generates_nothing_says_so(task, run, folder, monkeypatch):
    monkeypatch.delattr(type(task), "generate")
    result = run("generate", folder / "bundle")
    assert result.exit_code == 2
    assert "kmed predict uses it" in result.stderr
    assert not task.calls
