from PIL import Image

from kmed.tasks.retrieval.towers import partner_folder


def test_the_report_shows_both_ways_and_the_space(trained):
    run, settings, _ = trained
    html = (settings.run_folder / "report.html").read_text()
    for text in ("pos to neg", "neg to pos", "Recall@1", "t-SNE", "<svg", "tflite"):
        assert text in html, text
    for name in ("pos-to-neg.png", "neg-to-pos.png"):
        with Image.open(settings.run_folder / "pictures" / name) as picture:
            assert picture.mode == "RGB" and min(picture.size) > 200


def test_formats_of_text_are_compared(read):
    run, _, said = read
    assert (partner_folder(run.bundle_path) / "agreement.json").is_file()
    assert sum("equals Keras on" in line for line in said) == 4
