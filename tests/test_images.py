import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from observer.data.images import PictureLimits, file_picture, open_picture, picture_size, resolve_picture
from observer.types import RefusedError
from tables import holds_for

LIMITS = PictureLimits()


def png_header(width, height):
    """A PNG that claims a size and holds no pixels worth speaking of."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def saved(path, image, **options):
    image.save(path, **options)
    return path


@pytest.fixture
def red(tmp_path):
    return saved(tmp_path / "red.png", Image.new("RGB", (30, 20), "red"))


def test_a_picture_is_read_by_a_relative_path_an_absolute_path_and_a_file_url(tmp_path, red):
    for name in ("red.png", "./red.png", "../" + tmp_path.name + "/red.png", str(red), f"file://{red}"):
        picture = file_picture(name, tmp_path)
        assert picture.name == name
        assert picture.size() == (20, 30)
        assert picture.load().getpixel((0, 0)) == (255, 0, 0)


def test_file_urls_are_read_plain_first_and_percent_decoded_second(tmp_path):
    saved(tmp_path / "50%25 off.png", Image.new("RGB", (5, 5)))
    saved(tmp_path / "a b.png", Image.new("RGB", (6, 6)))
    assert file_picture(f"file://{tmp_path}/50%25 off.png", tmp_path).size() == (5, 5)
    assert file_picture(f"file://localhost{tmp_path}/a%20b.png", tmp_path).size() == (6, 6)


@pytest.mark.parametrize(
    "name",
    [
        "http://x.org/a.png",
        "HTTPS://x.org/a.png",
        "ftp://x/a.png",
        "s3://b/a.png",
        "data:image/png;base64,AA==",
    ],
)
def test_urls_are_refused(tmp_path, name):
    with pytest.raises(RefusedError, match=rf"'{name}' is a URL; .*download it into the data folder"):
        resolve_picture(name, tmp_path)


def test_a_file_url_of_another_host_is_refused(tmp_path):
    with pytest.raises(RefusedError, match="is a URL"):
        resolve_picture("file://server/a.png", tmp_path)


def test_what_leads_out_of_the_data_folder_is_refused(tmp_path, red):
    root = tmp_path / "data"
    root.mkdir()
    (root / "link.png").symlink_to(red)
    (root / "sub").symlink_to(tmp_path)
    for name in (
        "../red.png",
        str(red),
        f"file://{red}",
        "link.png",
        "sub/red.png",
        f"file://{root}/%2e%2e/red.png",
    ):
        with pytest.raises(RefusedError, match=r"leads to .*red\.png, out of the data folder .*data"):
            resolve_picture(name, root)


def test_a_sibling_folder_with_the_same_beginning_is_outside(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data2").mkdir()
    saved(tmp_path / "data2" / "a.png", Image.new("RGB", (5, 5)))
    with pytest.raises(RefusedError, match="out of the data folder"):
        resolve_picture("../data2/a.png", tmp_path / "data")


def test_a_link_inside_the_data_folder_is_followed(tmp_path, red):
    (tmp_path / "link.png").symlink_to(red)
    assert resolve_picture("link.png", tmp_path) == red.resolve()


def test_a_link_that_turns_outward_after_the_check_is_refused_at_the_next_use(tmp_path, red):
    root = tmp_path / "data"
    root.mkdir()
    saved(root / "good.png", Image.new("RGB", (5, 5)))
    (root / "a.png").symlink_to(root / "good.png")
    picture = file_picture("a.png", root)
    assert picture.size() == (5, 5)
    (root / "a.png").unlink()
    (root / "a.png").symlink_to(red)
    with pytest.raises(RefusedError, match="out of the data folder"):
        picture.load()


@pytest.mark.parametrize("name", ["", ".", "missing.png", "x" * 300])
def test_what_is_no_file_is_refused(tmp_path, name):
    with pytest.raises(RefusedError, match="is no file; looked for"):
        resolve_picture(name, tmp_path)


def test_a_pipe_is_no_picture_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(RefusedError, match="is no file"):
        resolve_picture("pipe.png", tmp_path)


def test_a_name_with_a_null_byte_is_refused(tmp_path):
    with pytest.raises(RefusedError, match="no path that can be looked up"):
        resolve_picture("a\0.png", tmp_path)


@pytest.mark.parametrize("use", [picture_size, open_picture])
@pytest.mark.parametrize("side", [10_000, 100_000])
def test_a_decompression_bomb_is_refused_from_its_header(tmp_path, use, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(RefusedError, match=r"bomb\.png claims .*max_image_pixels = 89478485; shrink it"):
        use(path, LIMITS)


def test_the_pixel_limit_is_the_users(tmp_path, red):
    assert picture_size(red, PictureLimits(600)) == (20, 30)
    with pytest.raises(RefusedError, match="claims 20 x 30 pixels, more than max_image_pixels = 599"):
        picture_size(red, PictureLimits(599))
    path = tmp_path / "large.png"
    path.write_bytes(png_header(13_000, 13_000))
    assert picture_size(path, PictureLimits(170_000_000)) == (13_000, 13_000)


@holds_for("value", [0, 178_956_971])
def test_an_impossible_pixel_limit_is_refused(value):
    with pytest.raises(RefusedError, match=f"max_image_pixels is {value}; set it within 1 .. 178956970"):
        PictureLimits(value)


def test_a_picture_too_long_for_the_processor_is_refused(tmp_path):
    assert picture_size(saved(tmp_path / "a.png", Image.new("L", (400, 2))), LIMITS) == (2, 400)
    with pytest.raises(RefusedError, match="2 x 401 pixels, a side over 200 times the other; crop it"):
        picture_size(saved(tmp_path / "b.png", Image.new("L", (401, 2))), LIMITS)


def test_a_picture_of_no_width_is_refused(tmp_path):
    path = tmp_path / "empty.png"
    path.write_bytes(png_header(0, 10))
    with pytest.raises(RefusedError, match=r"empty\.png is broken, cut off or none of"):
        picture_size(path, LIMITS)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "gif", "bmp"])
def test_a_truncated_file_is_refused_when_it_is_decoded(tmp_path, extension):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    path = saved(tmp_path / f"cut.{extension}", noise)
    assert open_picture(path, LIMITS).size == (64, 64)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        RefusedError, match=rf"cut\.{extension} is broken, cut off or none of PNG, .*replace it \("
    ):
        open_picture(path, LIMITS)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF89a", b"RIFF"]
)
@pytest.mark.parametrize("use", [picture_size, open_picture])
def test_what_is_no_picture_is_refused(tmp_path, content, use):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(RefusedError, match=r"a\.png is broken"):
        use(path, LIMITS)


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "ICO", "EPS", "PDF"])
def test_other_formats_are_refused_whatever_their_name(tmp_path, kind):
    path = tmp_path / "a.png"
    Image.new("RGB", (32, 32)).save(path, format=kind)
    with pytest.raises(RefusedError, match="none of PNG, JPEG, WEBP, GIF, BMP"):
        open_picture(path, LIMITS)


def test_transparency_is_laid_on_white(tmp_path):
    image = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    palette = Image.new("P", (10, 10), 0)
    palette.putpalette([0, 0, 255, 0, 255, 0])
    for path in (
        saved(tmp_path / "a.png", image),
        saved(tmp_path / "a.webp", image, lossless=True),
        saved(tmp_path / "la.png", Image.new("LA", (10, 10), (0, 0))),
        saved(tmp_path / "p.png", palette, transparency=bytes([0, 255])),
        saved(tmp_path / "p.gif", palette, transparency=0),
    ):
        opened = open_picture(path, LIMITS)
        assert opened.mode == "RGB"
        assert opened.getpixel((9, 9)) == (255, 255, 255), path.name
    assert open_picture(tmp_path / "a.png", LIMITS).getpixel((0, 0)) == (255, 0, 0)


def test_other_colour_modes_become_rgb(tmp_path):
    cmyk = open_picture(saved(tmp_path / "cmyk.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0))), LIMITS)
    assert cmyk.mode == "RGB"
    assert np.abs(np.subtract(cmyk.getpixel((0, 0)), (255, 0, 0))).max() <= 3
    assert (
        open_picture(saved(tmp_path / "1.png", Image.new("1", (8, 8), 1)), LIMITS).getpixel((0, 0))
        == (255,) * 3
    )


def test_sixteen_bit_grey_keeps_its_tone(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(np.full((8, 8), 0x8000, np.uint16)))
    assert open_picture(path, LIMITS).getpixel((0, 0)) == (0x80, 0x80, 0x80)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_says_the_size_of_the_upright_picture(tmp_path, extension, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{extension}", Image.new("RGB", (30, 20)), exif=exif)
    height, width = (20, 30) if orientation < 5 else (30, 20)
    assert picture_size(path, LIMITS) == (height, width)
    assert open_picture(path, LIMITS).size == (width, height)


def test_orientation_six_turns_the_left_side_up(tmp_path):
    image = Image.new("RGB", (30, 20), "white")
    image.paste("black", (0, 0, 10, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = open_picture(saved(tmp_path / "a.png", image, exif=exif), LIMITS)
    assert opened.getpixel((5, 2)) == (0, 0, 0)
    assert opened.getpixel((5, 27)) == (255, 255, 255)


def test_broken_metadata_neither_refuses_nor_turns_nor_warns(tmp_path):
    for number, exif in enumerate(
        (b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01", b"Exif\0\0")
    ):
        path = saved(tmp_path / f"{number}.jpg", Image.new("RGB", (30, 20)), exif=exif)
        assert picture_size(path, LIMITS) == (20, 30)
        assert open_picture(path, LIMITS).size == (30, 20)


def test_of_an_animation_the_first_frame_counts(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for extension in ("gif", "webp", "png"):
        path = tmp_path / f"a.{extension}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        red, _, blue = open_picture(path, LIMITS).getpixel((0, 0))
        assert red > 200 > 50 > blue


def test_threads_neither_warn_nor_change_the_filters_of_the_process(tmp_path):
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png_header(10_000, 10_000))  # Pillow warns of this one
    broken = saved(
        tmp_path / "a.jpg", Image.new("RGB", (30, 20)), exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01"
    )
    before = list(warnings.filters)

    def use(number):
        if number % 2:
            return open_picture(broken, LIMITS).size
        with pytest.raises(RefusedError, match="claims"):
            picture_size(bomb, LIMITS)
        return (30, 20)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(use, range(200))) == {(30, 20)}
    assert warnings.filters == before
