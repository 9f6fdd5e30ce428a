from PIL import Image


def test_the_report_shows_what_became_of_the_source(trained):
    run, settings, said = trained
    html = (settings.run_folder / "report.html").read_text()
    for text in ("t1 to t2", "SSIM", "PSNR", "be made up", "tflite"):
        assert text in html, text
    with Image.open(settings.run_folder / "pictures" / "t1-to-t2.png") as picture:
        assert picture.mode == "RGB" and min(picture.size) >= 64
    assert sum("equals Keras on" in line for line in said) == 2


def test_both_ways_stand_in_one_report(unpaired):
    _, settings, _ = unpaired
    html = (settings.run_folder / "report.html").read_text()
    assert "t1 to t2" in html and "t2 to t1" in html
