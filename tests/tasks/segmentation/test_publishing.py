def test_report_shows_the_measures(trained):
    run, settings, _ = trained
    html = run.report_path.read_text()
    assert f"{run.metrics['disc']['dice'].value:.3f}" in html
    assert "discs" in html
    assert (settings.run_folder / "cases.csv").read_text().startswith("name,dice,disc dice")
