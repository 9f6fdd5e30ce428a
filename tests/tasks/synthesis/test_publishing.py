from PIL import Image


def test_the_report_says_by_which_features(trained):
    run, settings, said = trained
    html = (settings.run_folder / "report.html").read_text()
    for text in ("Fréchet distance", "fixed random convolutions", "nearest training image"):
        assert text in html, text
    for name in ("generated", "real", "nearest", "interpolation"):
        with Image.open(settings.run_folder / "pictures" / f"{name}.png") as picture:
            assert picture.mode == "RGB" and min(picture.size) >= 64
    assert sum("equals Keras on" in line for line in said) == 2
