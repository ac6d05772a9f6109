"""Folders of images in archives, read where they are."""

import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import torch
from PIL import Image

from pixkit.data import packed
from pixkit.data.images import Images
from pixkit.data.picture import BadPicture
from pixkit.errors import DataError
from pixkit.image import ImageSpec

KINDS = {"zip": "zip", "tar": "tar", "gztar": "tar.gz", "bztar": "tar.bz2", "xztar": "tar.xz"}


def picture(level):
    file = io.BytesIO()
    Image.new("L", (4, 3), level).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """pictures/a, b and c with 20 pictures; the n'th has the level n."""
    for number in range(20):
        path = tmp_path / "pictures" / "abc"[number % 3] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    (tmp_path / "pictures" / "about.txt").write_text("About")
    return tmp_path


@pytest.fixture
def archive(tmp_path):
    """archive({name: content}, kind): an archive x.KIND of these."""

    def write(files, kind="zip"):
        path = tmp_path / f"x.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
                for name, content in files.items():
                    target.writestr(zipfile.ZipInfo(name), content)
        else:
            with tarfile.open(path, f"w:{kind.removeprefix('tar').removeprefix('.')}") as target:
                for name, content in files.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    target.addfile(info, io.BytesIO(content))
        return path

    return write


def read(make, **config):
    return make("images", channels=1, **config)


def batches(data):
    return [data.batch(split, torch.arange(data.size(split))) for split in ("train", "validation", "test")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("root", ["", "pictures"])
def test_an_archive_is_read_as_the_folder_that_it_was_made_of(make, folder, kind, root):
    """Whether its files lie in one folder, as most archives have it, or not."""
    shutil.make_archive(folder / "packed", kind, folder / ("" if root else "pictures"), root or None)
    path = f"packed.{KINDS[kind]}"
    before = sorted(folder.rglob("*"))
    data, plain = read(make, path=path), read(make, path="pictures")
    for found, expected in zip(batches(data), batches(plain), strict=True):
        assert torch.equal(found.x, expected.x)
    assert data.notes[0].startswith(f"1 other files (text: 1) in {folder / path}")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_parts_of_an_archive(make, folder, kind):
    (folder / "pictures" / "about.txt").unlink()
    shutil.make_archive(folder / "packed", kind, folder, "pictures")
    path = f"packed.{KINDS[kind]}"
    for inside in (path, f"{path}/pictures"):
        data = read(make, path=inside, labels=True)
        assert data.class_names == ("a", "b", "c")
        assert all(torch.equal(batch.labels, batch.x[:, 0, 0, 0] % 3) for batch in batches(data))
    one = read(make, path=f"{path}/pictures/b")
    assert sorted(torch.cat([batch.x[:, 0, 0, 0] for batch in batches(one)]).tolist()) == list(range(1, 20, 3))
    with pytest.raises(DataError, match="there are no images"):
        read(make, path=f"{path}/elsewhere")


def test_an_archive_of_one_class_keeps_its_name(make, archive):
    archive({f"bee/{number}.png": picture(number) for number in range(9)})
    assert read(make, path="x.zip", labels=True).class_names == ("bee",)


def test_the_one_folder_of_an_archive_is_kept_where_an_image_lies_in_it(make, archive):
    files = {f"set/{kind}/{number}.png": picture(number) for kind in "ab" for number in range(9)}
    archive(files)
    assert read(make, path="x.zip", labels=True).class_names == ("a", "b")
    archive(files | {"set/loose.png": picture(0)})
    assert read(make, path="x.zip", labels=True).class_names == ("set",)


def test_splits_and_a_table_of_labels(make, archive, tmp_path):
    files = {f"set/{split}/{number}.png": picture(number) for split in ("train", "test") for number in range(9)}
    archive(files)
    (tmp_path / "t.csv").write_text("".join(f"{name},{'ab'[level % 9 % 2]}\n" for level, name in enumerate(files)))
    data = read(make, path="x.zip", labels="t.csv")
    assert data.size("test") == 9 and data.class_names == ("a", "b")
    assert all(torch.equal(batch.labels, batch.x[:, 0, 0, 0] % 2) for batch in batches(data))


def test_one_image_of_an_archive_is_read_alone(archive, tmp_path):
    archive({f"{number}.png": picture(number) for number in range(9)})
    outline, one = Images(Images.Config(path="x.zip", channels=1), tmp_path).outline(ImageSpec(1, 3, 4, 256))
    numbers = [int(number) for number in outline.train.levels()]
    assert [int(one("train", number).max()) for number in numbers] == numbers


def test_hidden_files_and_macs_shadows_of_files_are_no_images(make, archive):
    files = {f"set/{number}.png": picture(number) for number in range(9)}
    hidden = {"__MACOSX/set/._1.png": b"\0\5\x16\7", "set/.DS_Store": b"x"}
    archive(files | hidden | {"set/x/": b""})
    assert read(make, path="x.zip").notes == ()
    # Those of a compressed tar archive would be kept in memory.
    assert {str(name) for name in packed.members(archive(files | hidden, "tar.gz"))} == {*files}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("name", ["/etc/1.png", "../1.png", "a/../../1.png", "a\\1.png"])
def test_names_that_lead_out_of_an_archive_are_refused(make, archive, kind, name):
    archive({"a/0.png": picture(0), name: picture(1)}, kind)
    with pytest.raises(DataError, match="refused to read this archive") as caught:
        read(make, path=f"x.{kind}")
    assert caught.value.found == f"a path that leads out of it: {name!r}"


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_files_that_are_too_large_are_not_read(make, archive, monkeypatch, kind):
    monkeypatch.setattr(packed, "LARGEST", 1000)
    files = {f"{number}.png": picture(number) for number in range(9)}
    archive(files | {"z.png": bytes(1000)}, kind)
    (note,) = read(make, path=f"x.{kind}", on_bad="skip").notes
    assert "z.png (not a readable image" in note
    archive(files | {"z.png": bytes(1001)}, kind)
    with pytest.raises(DataError, match="the file is too large") as caught:
        read(make, path=f"x.{kind}")
    assert (caught.value.found, caught.value.expected) == ("1,001 bytes", "at most 1,000")
    (note,) = read(make, path=f"x.{kind}", on_bad="skip").notes
    assert "z.png (the file is too large: 1,001 bytes)" in note


def test_a_compressed_tar_unpacks_to_a_bounded_size(make, archive, monkeypatch):
    monkeypatch.setattr(packed, "UNPACKED", 100_000)
    archive({"a.png": bytes(200_000)}, "tar.gz")
    with pytest.raises(DataError, match="the archive is damaged") as caught:
        read(make, path="x.tar.gz")
    assert "unpacks to far more" in caught.value.found


def test_links_in_archives_are_not_followed(make, archive, tmp_path):
    files = {f"{number}.png": picture(number) for number in range(9)}
    with zipfile.ZipFile(archive(files), "a") as target:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        target.writestr(link, "/etc/passwd")
    with tarfile.open(archive(files, "tar"), "a") as target:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        target.addfile(link)
    for kind in ("zip", "tar"):
        data = read(make, path=f"x.{kind}")
        assert sum(len(batch.x) for batch in batches(data)) == 9


def test_damaged_members_are_bad_pictures_and_damaged_archives_errors(make, archive):
    files = {f"{number}.png": picture(number) for number in range(9)}
    path = archive(files)
    content = bytearray(path.read_bytes())
    content[content.index(b"5.png") + 10] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged in its archive") as caught:
        read(make, path="x.zip")
    assert caught.value.where == f"{path}/5.png"
    assert "left out 1 of 9" in read(make, path="x.zip", on_bad="skip").notes[0]
    path.write_bytes(content[:-40])
    with pytest.raises(DataError, match="the archive is damaged"):
        read(make, path="x.zip")
    for kind in ("tar.gz", "tar.xz", "tar.bz2"):
        path = archive(files, kind)
        path.write_bytes(path.read_bytes()[:150])
        with pytest.raises(DataError, match="the archive is damaged"):
            read(make, path=f"x.{kind}")


@pytest.mark.parametrize(("content", "found"), [(b"7z\xbc\xaf\x27\x1c123", "a 7-Zip archive"), (b"x", "text")])
def test_other_files_are_called_by_what_they_are(make, tmp_path, content, found):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match="neither a folder nor an archive") as caught:
        read(make, path="x.zip")
    assert caught.value.found == found and caught.value.where == str(tmp_path / "x.zip")


@pytest.mark.parametrize("kind", ["tar", "gztar"])
def test_files_with_holes_are_passed_over(make, tmp_path, kind):
    """Of a sparse file in a tar archive the parts that are not holes stand one after the other."""
    with tarfile.open(tmp_path / "x", "w:" + ("gz" if kind == "gztar" else ""), format=tarfile.GNU_FORMAT) as target:
        for number in range(9):
            content = picture(number)
            info = tarfile.TarInfo(f"{number}.png")
            info.size, info.type = len(content), tarfile.GNUTYPE_SPARSE if number == 4 else tarfile.REGTYPE
            target.addfile(info, io.BytesIO(content))
    data = read(make, path="x")
    levels = torch.cat([batch.x[:, 0, 0, 0] for batch in batches(data)])
    assert sorted(levels.tolist()) == [number for number in range(9) if number != 4]


def raising(error):
    def read(size):
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "kind", "said"),
    [
        (lambda size: b"abc"[:size], None, None),
        (lambda size: b"ab", BadPicture, ("cut short in its archive", "a.zip/b/c.PNG", "2 bytes", None)),
        (raising(zipfile.BadZipFile("torn")), BadPicture, ("damaged in its archive", "a.zip/b/c.PNG", "torn", None)),
        (raising(OSError(5, "Input/output error")), DataError, ("cannot be read", "a.zip", "Input/output error", None)),
    ],
)
def test_what_is_wrong_with_a_file_of_an_archive_is_told_from_a_disk_that_fails(read, kind, said, monkeypatch):
    member = packed.Member(Path("a.zip"), PurePosixPath("b/c.PNG"), 3, read)
    assert member.suffix == ".PNG"
    if kind is None:
        assert member.content() == b"abc"
        monkeypatch.setattr(packed, "LARGEST", 2)
        kind, said = BadPicture, ("the file is too large", "a.zip/b/c.PNG", "3 bytes", "at most 2")
    with pytest.raises(DataError) as caught:
        member.content()
    error = caught.value
    assert type(error) is kind and (error.message, error.where, error.found, error.expected) == said
