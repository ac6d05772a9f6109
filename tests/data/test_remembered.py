"""Decoded folders are read from the cache, and never where anything has changed."""

import os
import shutil
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pixkit.data import kept, remembered
from pixkit.data.folders import list_pictures
from pixkit.data.images import Images
from pixkit.data.picture import Form
from pixkit.data.reading import How
from pixkit.data.remembered import recall_folder
from pixkit.errors import UsageError

HOW = How(Form(3, None, "exact", "bicubic", 10_000), "error", "first")


@pytest.fixture(autouse=True)
def small_sets_are_kept(monkeypatch, tmp_path):
    """In a cache of the test's own, and of files that were written this moment."""
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(kept.VARIABLE, raising=False)
    monkeypatch.setattr(remembered, "FEWEST", 1)
    monkeypatch.setattr(remembered, "SETTLED", -60.0)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "pictures"
    for number, kind in enumerate(("ant", "bee", "ant", "cat")):
        (place / kind).mkdir(parents=True, exist_ok=True)
        _picture(number).save(place / kind / f"{number}.png")
    return place


def _picture(seed, side=6):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8))


def _read(folder, how=HOW):
    return recall_folder(list_pictures(folder), how, None)


def _decoded_before(read):
    return any("were decoded before" in note for note in read.notes)


def test_the_second_reading_gives_the_same_and_says_where_from(folder):
    first, second = _read(folder), _read(folder)
    assert not _decoded_before(first) and _decoded_before(second)
    assert torch.equal(first.pixels, second.pixels) and second.pixels.dtype == torch.uint8
    assert list(first.names) == list(second.names)
    assert kept.entries()[0].size > first.pixels.nbytes


def test_nothing_is_opened_the_second_time(folder, monkeypatch):
    _read(folder)
    monkeypatch.setattr(remembered, "read_folder", None)
    assert len(_read(folder).pixels) == 4


def test_notes_of_what_was_left_out_are_said_again_and_frames_keep_their_files(folder):
    (folder / "ant" / "x.png").write_bytes(b"no picture")
    frames = [_picture(seed) for seed in (7, 8, 9)]
    frames[0].save(folder / "cat" / "several.tif", save_all=True, append_images=frames[1:])
    how = replace(HOW, on_bad="skip", frames="all")
    first, second = _read(folder, how), _read(folder, how)
    assert _decoded_before(second) and second.notes[:-1] == first.notes and "x.png" in first.notes[0]
    assert len(first.names) == 7 and list(first.names) == list(second.names)
    assert torch.equal(first.images(None).groups, second.images(None).groups)


@pytest.mark.parametrize("size", [(5, 4), None])
@pytest.mark.parametrize("levels", [256, 65536])
def test_every_key_that_changes_what_is_decoded_is_told_apart(folder, size, levels):
    _read(folder)
    how = replace(HOW, form=Form(1, size, "resize", "box", 10_000, levels))
    fresh = _read(folder, how)
    again = _read(folder, how)
    assert not _decoded_before(fresh) and _decoded_before(again)
    assert torch.equal(fresh.pixels, again.pixels) and fresh.pixels.dtype == again.pixels.dtype


def test_a_file_of_the_same_size_and_time_that_has_changed_is_decoded_anew(folder):
    _read(folder)
    path = folder / "ant" / "0.png"
    status, size = path.stat(), path.stat().st_size
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] ^= 255
    content = _png(pixels)
    path.write_bytes(content + b"\0" * max(0, size - len(content)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    read = _read(folder)
    assert not _decoded_before(read)
    assert (read.pixels[[str(name) for name in read.names].index("ant/0.png")].permute(1, 2, 0).numpy() == pixels).all()


def _png(pixels):
    import io

    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


@pytest.mark.parametrize("change", ["renamed", "removed", "added"])
def test_files_that_come_or_go_are_noticed(folder, change):
    _read(folder)
    if change == "renamed":
        (folder / "bee" / "1.png").rename(folder / "bee" / "9.png")
    elif change == "removed":
        (folder / "bee" / "1.png").unlink()
    else:
        _picture(5).save(folder / "bee" / "5.png")
    assert not _decoded_before(_read(folder))


def test_another_version_of_a_decoder_decodes_anew(folder, monkeypatch):
    _read(folder)
    monkeypatch.setattr(remembered.PIL, "__version__", "99.0")
    assert not _decoded_before(_read(folder))


def test_the_code_that_decodes_is_a_part_of_the_key(monkeypatch):
    before = remembered.decoding()
    monkeypatch.setattr(remembered, "DECODERS", remembered.DECODERS[:-1])
    assert remembered.decoding() != before


def test_files_that_were_changed_this_moment_are_not_kept(folder, monkeypatch):
    monkeypatch.setattr(remembered, "SETTLED", 2.0)
    _read(folder)
    assert kept.entries() == []


def test_files_that_change_while_they_are_read_are_not_kept(folder, monkeypatch):
    plain = remembered.read_folder

    def disturbed(*arguments):
        found = plain(*arguments)
        _picture(6).save(folder / "ant" / "0.png")
        return found

    monkeypatch.setattr(remembered, "read_folder", disturbed)
    _read(folder)
    assert kept.entries() == []


def test_small_folders_are_decoded_each_time(folder, monkeypatch):
    monkeypatch.setattr(remembered, "FEWEST", 1000)
    _read(folder)
    assert kept.entries() == []


def test_an_archive_is_known_by_its_own_times(folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    first, second = _read(tmp_path / "packed.zip"), _read(tmp_path / "packed.zip")
    assert _decoded_before(second) and torch.equal(first.pixels, second.pixels)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("ant/7.png", _png(np.zeros((6, 6, 3), np.uint8)))
    assert not _decoded_before(_read(tmp_path / "packed.zip"))


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "long", "head"])
def test_a_damaged_file_of_the_cache_counts_as_absent_and_is_replaced(folder, damage):
    first = _read(folder)
    path = kept.entries()[0].path
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[-40] ^= 1
    if damage == "head":
        content[len(kept.MAGIC)] = 255
    path.write_bytes({"cut": content[:-1], "empty": b"", "long": content + b"\0"}.get(damage, content))
    second = _read(folder)
    assert not _decoded_before(second) and torch.equal(first.pixels, second.pixels)
    assert _decoded_before(_read(folder))


def test_a_folder_that_others_can_write_is_not_trusted(folder):
    _read(folder)
    kept.folder().chmod(0o777)
    assert not _decoded_before(_read(folder))


def test_a_cache_that_cannot_be_written_is_done_without(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "file"))
    assert len(_read(folder).pixels) == len(_read(folder).pixels) == 4


def test_a_full_disk_is_not_filled_further(folder, monkeypatch):
    monkeypatch.setattr(kept.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10, 10, 100))
    _read(folder)
    assert kept.entries() == []


def test_switched_off_it_neither_keeps_nor_reads(folder, monkeypatch):
    _read(folder)
    monkeypatch.setenv(kept.VARIABLE, "0")
    assert not _decoded_before(_read(folder))


SIZES = [
    ("", 10737418240),
    ("20G", 21474836480),
    ("500 MB", 524288000),
    ("7", 7),
    (" 3k ", 3072),
    ("2TiB", 2199023255552),
]
SIZES += [("9" * 15, 10**15 - 1)]


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_the_bound_is_a_size(monkeypatch, text, size):
    monkeypatch.setenv(kept.VARIABLE, text)
    assert kept.most() == size


@pytest.mark.parametrize("text", ["much", "-1", "1.5G", "G", "9" * 16, "5GG", "5 Bi"])
def test_any_other_bound_is_refused(monkeypatch, text):
    monkeypatch.setenv(kept.VARIABLE, text)
    with pytest.raises(UsageError) as caught:
        kept.most()
    error = caught.value
    assert (error.message, error.where, error.found) == ("not a size", "PIXKIT_DECODED", text)
    assert error.expected == "bytes (20G, 500M), or 0 to keep nothing"


def test_an_array_may_have_as_many_bytes_as_the_bound_and_is_of_levels(monkeypatch):
    monkeypatch.setenv(kept.VARIABLE, "100")
    for array in (np.zeros(101, np.uint8), np.zeros(9, np.float32), np.zeros(9, np.int64)):
        kept.keep("0" * 40, array, {})
    assert kept.entries() == []
    kept.keep("0" * 40, np.zeros(100, np.uint8), {})
    assert [entry.path.name for entry in kept.entries()] == ["0" * 40]


def test_what_another_process_has_removed_is_cleared_too(monkeypatch):
    kept.keep("0" * 40, np.zeros(1, np.uint8), {})
    found = kept.entries()
    monkeypatch.setattr(kept, "entries", lambda: found)
    assert kept.clear() == kept.clear() == found and not os.listdir(kept.folder())


def test_links_and_other_names_in_the_cache_are_no_entries(tmp_path):
    kept.keep("0" * 40, np.zeros(1, np.uint8), {})
    own = kept.folder() / ("0" * 40)
    for name in ("1" * 39, "1" * 41, "g" * 40):
        (kept.folder() / name).write_bytes(own.read_bytes())
    (kept.folder() / ("2" * 40)).symlink_to(own)
    assert [entry.path for entry in kept.entries()] == [own] and kept.find("0" * 40) is not None
    assert kept.find("2" * 40) is None and own.exists()


def test_what_was_not_used_for_longest_makes_room(monkeypatch):
    array = np.zeros((10, 1, 10, 10), np.uint8)
    keys = [kept.key_of(number) for number in range(3)]
    for number, key in enumerate(keys):
        kept.keep(key, array, {})
        os.utime(kept.folder() / key, (number, number))
    size = kept.entries()[0].size
    assert kept.find(keys[0])[1] == {}  # used just now
    monkeypatch.setenv(kept.VARIABLE, str(2 * size))
    kept.keep(kept.key_of(3), array, {})
    assert {entry.path.name for entry in kept.entries()} == {keys[0], kept.key_of(3)}
    monkeypatch.setenv(kept.VARIABLE, str(size - 200))
    kept.keep(kept.key_of(4), np.zeros(size, np.uint8), {})
    assert len(kept.entries()) == 2, "what does not fit at all puts nothing out"


def test_what_processes_left_behind_for_a_day_is_removed_and_all_of_it_by_clear(monkeypatch):
    """Younger files may be another process's that is at work."""
    now = 1e9
    monkeypatch.setattr(kept, "time", SimpleNamespace(time=lambda: now))
    kept.folder().mkdir(parents=True, mode=0o700)
    ages = (0, 86399, 86400)
    left = [kept.folder() / f".{kept.key_of(age)}.77.tmp" for age in ages]
    for path, age in zip(left, ages, strict=True):
        path.write_bytes(b"half")
        os.utime(path, (now - age, now - age))
    kept.keep(kept.key_of(1), np.zeros((1, 1, 2, 2), np.uint8), {})
    assert [path.exists() for path in left] == [True, True, False]
    assert [entry.path.name for entry in kept.clear()] == [kept.key_of(1)] and not os.listdir(kept.folder())


@pytest.mark.parametrize(("free", "found"), [(0, True), (-1, False)])
def test_half_of_the_room_on_the_disk_stays_free(monkeypatch, free, found):
    array = np.zeros(1000, np.uint8)
    monkeypatch.setattr(kept.shutil, "disk_usage", lambda path: SimpleNamespace(free=2 * array.nbytes + free))
    kept.keep("0" * 40, array, {})
    assert (kept.find("0" * 40) is not None) is found


def test_nothing_is_kept_where_others_can_write():
    kept.keep("0" * 40, np.zeros(1, np.uint8), {})
    assert kept.folder().stat().st_mode & 0o777 == 0o700 and len(kept.clear()) == 1
    kept.folder().chmod(0o777)
    kept.keep("0" * 40, np.zeros(1, np.uint8), {})
    assert not os.listdir(kept.folder())


def test_two_processes_at_once_keep_one_whole_file(folder):
    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            status = 1
            try:
                for number in range(20):
                    array = np.full((50, 1, 40, 40), number, np.uint8)
                    kept.keep("0" * 40, array, {"number": number})
                    found = kept.find("0" * 40)
                    if found is not None:
                        assert (found[0] == found[1]["number"]).all()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    array, facts = kept.find("0" * 40)
    assert (array == facts["number"]).all() and len(list(kept.folder().iterdir())) == 1


def test_a_recipe_gives_the_same_data_set_from_the_cache(folder):
    config = Images.Config(path=str(folder), labels=True, test_fraction=0.5)
    first, second = (Images(config, folder).load() for _ in range(2))
    assert "were decoded before" in " ".join(second.notes)
    for split in ("train", "test"):
        one, other = getattr(first, split), getattr(second, split)
        assert torch.equal(one.pixels, other.pixels) and torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("values", [1, 8, 9])
def test_files_are_written_and_read_some_bytes_at_a_time(monkeypatch, values):
    monkeypatch.setattr(kept, "CHUNK", 4)
    array = np.arange(values, dtype=np.uint8)
    kept.keep("0" * 40, array, {"of": "here"})
    found, facts = kept.find("0" * 40)
    assert np.array_equal(found, array) and facts == {"of": "here"}
    assert kept.facts_of(kept.entries()[0]) == facts


def _written(monkeypatch, array, magic=kept.MAGIC):
    """A file of the cache with a sound checksum, whatever is in it."""
    kept.keep("0" * 40, np.zeros(1, np.uint8), {})
    with monkeypatch.context() as patch, open(kept.folder() / ("0" * 40), "wb") as file:
        patch.setattr(kept, "MAGIC", magic)
        kept._write(file, array, {"of": "here"})


def test_files_of_other_forms_count_as_absent(monkeypatch):
    sound = np.arange(3, dtype=np.int16)
    _written(monkeypatch, sound)
    assert np.array_equal(kept.find("0" * 40)[0], sound)
    for array, magic in ((sound.astype(np.int64), kept.MAGIC), (sound, kept.MAGIC[:-2] + b"2\n")):
        _written(monkeypatch, array, magic)
        assert kept.find("0" * 40) is None and not os.listdir(kept.folder())


@pytest.mark.parametrize(("less", "found"), [(0, True), (1, False)])
def test_what_is_to_be_known_of_an_array_is_of_a_bounded_length(monkeypatch, less, found):
    _written(monkeypatch, np.zeros(1, np.uint8))
    head = len((kept.folder() / ("0" * 40)).read_bytes()) - len(kept.MAGIC) - 8 - 1 - 32
    monkeypatch.setattr(kept, "LARGEST_HEAD", head - less)
    assert (kept.find("0" * 40) is not None) is found


def test_what_cannot_be_read_of_the_cache_is_not_there(monkeypatch):
    kept.keep("0" * 40, np.zeros(3, np.uint8), {"of": "here"})
    (entry,) = kept.entries()
    assert kept.facts_of(entry) == {"of": "here"}
    entry.path.write_bytes(kept.MAGIC + (2).to_bytes(8, "little") + b"{}")
    assert kept.facts_of(entry) == {}
    entry.path.unlink()
    assert kept.facts_of(entry) == {} and kept.find("0" * 40) is None


def test_a_library_that_is_not_installed_has_no_version():
    assert remembered._version("numpy") == np.__version__
    assert remembered._version("no-library-of-this-name") is None
