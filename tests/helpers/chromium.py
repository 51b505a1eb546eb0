"""Debian's chromium, with nobody else's settings, for pages that are opened from their files."""

from contextlib import contextmanager


@contextmanager
def chromium(folder):
    """Start a browser; downloads go to ``folder / "downloads"``, and its requests are logged."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1240,1000"):
        options.add_argument(word)
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()
