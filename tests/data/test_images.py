"""Reading images: one test per kind of file that has broken a reader somewhere."""

import io
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from pondera.data import images
from pondera.data.images import image_size, is_image_file, list_media, load_image
from pondera.errors import MediaError


def _gradient(height=24, width=32):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) % 256], axis=2).astype(np.uint8)


@pytest.fixture
def picture():
    return _gradient()


def test_a_png_comes_back_bit_for_bit_and_writable(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png")
    np.testing.assert_array_equal(loaded, picture)
    assert loaded.flags.writeable and load_image(str(tmp_path / "a.png")).dtype == np.uint8


def test_pillow_images_and_arrays_are_taken_too(picture):
    np.testing.assert_array_equal(load_image(Image.fromarray(picture)), picture)
    copy = load_image(picture)
    np.testing.assert_array_equal(copy, picture)
    assert not np.shares_memory(copy, picture)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((2, 3), 7, np.uint8), 7),
        (np.full((2, 3, 1), 7, np.uint8), 7),
        (np.full((2, 3, 3), 257 * 9, np.uint16), 9),
        (np.full((2, 3, 3), 1.0, np.float32), 255),
        (np.full((2, 3, 3), 0.5, np.float64), 128),
        (np.ones((2, 3), np.bool_), 255),
        (np.array([[[10, 20, 30, 0]]], np.uint8), 255),
    ],
)
def test_arrays_of_every_accepted_type_are_scaled_to_8_bit(array, expected):
    loaded = load_image(array)
    assert loaded.shape == (*array.shape[:2], 3) and (loaded == expected).all()


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((2, 3, 2), np.uint8), "shape"),
        (np.zeros(5, np.uint8), "shape"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.full((2, 2), 1.5), "divide"),
        (np.full((2, 2), np.nan), "divide"),
        (np.zeros((2, 2), np.int32), "int32"),
    ],
)
def test_an_array_that_is_no_image_is_refused_with_the_way_out(array, says):
    with pytest.raises(MediaError, match=says):
        load_image(array)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, picture, orientation):
    """Each orientation undone by the transposition that the EXIF standard names for it."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = Image.fromarray(picture)
    if orientation > 1:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), picture)
    assert image_size(tmp_path / "a.png") == (32, 24)


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path):
    """Pillow's own conversion clips at 255, which turns every 16-bit photograph white."""
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png")[0, :, 0], [0, 1, 128, 255])
    np.testing.assert_array_equal(load_image(Image.fromarray(values.astype(np.int32)))[0, :, 1], [0, 1, 128, 255])
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(load_image(tmp_path / "a.tif")[0, :, 2], [0, 1, 128, 255])


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floating_point_grey_is_scaled_by_the_range_that_holds_it(tmp_path, top):
    values = np.linspace(0, top, 600 * 4, dtype=np.float32).reshape(600, 4)  # more rows than one strip
    Image.fromarray(values).save(tmp_path / "a.tif")
    loaded = load_image(tmp_path / "a.tif")
    assert loaded[0, 0, 0] == 0 and loaded[-1, -1, 0] == 255
    assert abs(loaded[:, :, 0] / 255 - values / top).max() < 0.003


@pytest.mark.parametrize("bad", [np.nan, -1.0, 1e6])
def test_floating_point_grey_without_a_known_range_is_refused(bad):
    with pytest.raises(MediaError, match="pixel values run from"):
        load_image(Image.fromarray(np.array([[0.0, bad]], np.float32)))


def test_alpha_is_laid_on_white(tmp_path):
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (255, 0, 0, 255)
    rgba[0, 1] = (0, 0, 0, 128)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png")
    assert loaded[0, 0].tolist() == [255, 0, 0] and loaded[1, 1].tolist() == [255, 255, 255]
    assert abs(int(loaded[0, 1, 0]) - 127) <= 1
    Image.fromarray(rgba[:, :, 2:]).save(tmp_path / "grey.png")  # LA
    assert load_image(tmp_path / "grey.png")[1, 1].tolist() == [255, 255, 255]


def test_a_palette_with_a_transparent_entry_is_read_without_a_warning(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=1)
    assert load_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB", "HSV"])
def test_every_mode_becomes_rgb_of_about_the_same_colour(mode):
    image = Image.new("RGB", (3, 2), (255, 255, 255))
    if mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, rgb, lab, outputMode="LAB")
    loaded = load_image(image.convert(mode) if image.mode != mode else image)
    assert loaded.shape == (2, 3, 3) and loaded.min() >= 250


def test_a_cmyk_jpeg_is_not_inverted(tmp_path):
    Image.new("RGB", (16, 16), (250, 40, 30)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert abs(load_image(tmp_path / "a.jpg")[8, 8].astype(int) - (250, 40, 30)).max() < 12


def test_a_profile_that_is_srgb_or_does_not_fit_changes_nothing(tmp_path, picture):
    """sRGB changes nothing; a LAB profile cannot describe RGB pixels and is ignored."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(picture).save(tmp_path / "srgb.png", icc_profile=profile)
    np.testing.assert_array_equal(load_image(tmp_path / "srgb.png"), picture)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(picture).save(tmp_path / "lab.png", icc_profile=lab)
    np.testing.assert_array_equal(load_image(tmp_path / "lab.png"), picture)


def test_a_profile_with_other_primaries_changes_the_colours(tmp_path, picture):
    """sRGB with its red and blue primaries exchanged must give the image with red and blue exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    changed = bytes(profile).replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))
    Image.fromarray(picture).save(tmp_path / "a.png", icc_profile=changed)
    assert abs(load_image(tmp_path / "a.png").astype(int) - picture[:, :, ::-1]).max() <= 2


def test_a_broken_profile_does_not_cost_the_image(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png", icc_profile=b"not a profile")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), picture)


def test_the_first_frame_of_a_file_counts_and_the_current_one_of_an_open_image(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]
    with Image.open(tmp_path / "a.gif") as image:
        image.seek(1)
        assert load_image(image)[0, 0].tolist() == [0, 0, 255] and image.tell() == 1


def test_a_closed_pillow_image_is_a_media_error(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    image.close()
    with pytest.raises(MediaError, match=r"a\.png: cannot be decoded"):
        load_image(image)


def test_one_pixel_is_an_image(tmp_path):
    Image.new("L", (1, 1), 9).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").tolist() == [[[9, 9, 9]]]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, suffix):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(buffer, {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()))
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(buffer.getvalue()[: buffer.tell() // 2])
    with pytest.raises(MediaError, match=f"cut\\{suffix}"):
        load_image(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_missing_empty_folder_and_text_files_say_what_they_are(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("hello, this is text")
    for name, says in {
        "missing.png": "no such file",
        "empty.jpg": r"empty \(0 bytes\)",
        "text.png": "begins with b'hello",
        ".": "folder",
    }.items():
        with pytest.raises(MediaError, match=says):
            load_image(tmp_path / name)


def test_an_image_above_the_limit_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 599)
    with pytest.raises(MediaError, match="above 0 megapixels"):
        load_image(tmp_path / "a.png")
    with pytest.raises(MediaError, match="scale it down"):
        load_image(np.zeros((20, 30), np.uint8))


def test_pillows_own_limit_neither_warns_nor_changes(tmp_path, monkeypatch):
    """Pillow warns above 89 megapixels and refuses above 179; a 12,000 x 12,000 scan is a legitimate photograph."""
    Image.new("L", (40, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(tmp_path / "a.png").shape == (40, 40, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_pillows_limit_is_restored_after_threads_and_failures(tmp_path):
    Image.new("L", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    before = Image.MAX_IMAGE_PIXELS

    def read(name):
        try:
            return load_image(tmp_path / name).shape
        except MediaError:
            return None

    with ThreadPoolExecutor(4) as pool:
        shapes = list(pool.map(read, ["a.png", "b.png"] * 20))
    assert shapes == [(40, 40, 3), None] * 20 and before == Image.MAX_IMAGE_PIXELS


@pytest.mark.slow
def test_144_megapixels_are_read_within_3_gib(tmp_path):
    """The peak is read in a process of its own; Windows has no `resource`."""
    pytest.importorskip("resource")
    Image.new("RGB", (12_000, 12_000), (1, 2, 3)).save(tmp_path / "a.png", compress_level=1)
    code = f"""
import resource
from pondera.data.images import load_image
assert load_image({str(tmp_path / "a.png")!r}).shape == (12000, 12000, 3)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(run.stdout) * unit < 3 * 2**30


def test_a_name_is_an_images_by_its_suffix_in_any_letter_case():
    assert is_image_file("a/b.JPG") and is_image_file("x.webp")
    assert not is_image_file("notes.txt") and not is_image_file("png")


def test_folders_and_patterns_are_expanded_sorted_and_each_file_once(tmp_path, monkeypatch):
    for name in ("b.png", "a.jpg", "sub/c.webp", "sub/notes.txt", ".hidden/d.png", "e[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    names = [p.as_posix() for p in list_media(["b.png", ".", "*.png"])]
    assert names == ["b.png", "a.jpg", "e[1].png", "sub/c.webp"]
    assert [p.as_posix() for p in list_media(["**/*.webp", "e[1].png"])] == ["sub/c.webp", "e[1].png"]


def test_a_name_that_leads_nowhere_is_kept_so_that_the_others_are_still_read(tmp_path):
    (tmp_path / "empty").mkdir()
    names = [tmp_path / "gone.png", tmp_path / "*.xyz", tmp_path / "empty"]
    assert list_media(names) == names
    for name in names:
        with pytest.raises(MediaError):
            load_image(name)
