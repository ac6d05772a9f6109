"""Checkpoints: what was saved comes back, and nothing else does."""

import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import save as format_tensors
from toys import NormedToy, Toy, toy_model, toy_recipe

from pixkit.data.contents import told
from pixkit.errors import CheckpointError, NonFiniteError, RunError
from pixkit.runs import checkpoint, manifest

LONG = os.environ.get("PIXKIT_LONG") == "1"


def weights(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {"a.weight": torch.randn(2, 3, generator=generator), "b": torch.arange(3)}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "step-7"
    checkpoint.save(
        path,
        {"model": weights(), "optimizer": {"p/step/a": torch.tensor(3.0)}},
        step=7,
        model="toy",
        state={"step": 7, "best_nats": 0.1},
        metrics={"nats": 1 / 3, "missing": None},
    )
    return path


def rewrite(folder, change):
    """Change a manifest and give it the checksum of its new content."""
    path = folder / "manifest.json"
    body = json.loads(path.read_text())
    path.write_bytes(manifest.encode_manifest(change(body) or body))


def replace_tensors(folder, tensors, name="model"):
    """Put other tensors in, with a manifest that vouches for them."""
    data = format_tensors(tensors)
    (folder / f"{name}.safetensors").write_bytes(data)
    record = {"sha256": manifest.sha256(data), "bytes": len(data), "layout": checkpoint.layout(tensors)}
    rewrite(folder, lambda body: body["files"].update({name: record}))


def header_of(length):
    """Tensors of which the file's header has so many bytes."""
    return {"w" * (length - 56): torch.zeros(1)}


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580, 0x4B50, 0x10000])
def test_a_file_whose_length_of_header_begins_as_a_pickle_or_an_archive_does_is_read(tmp_path, length):
    """Its first bytes are that length: 80 05, say, of 1408 bytes."""
    tensors = header_of(length)
    checkpoint.save(tmp_path / "step-1", {"model": tensors}, step=1, model="toy", state={}, metrics={})
    start = (tmp_path / "step-1" / "model.safetensors").read_bytes()[:9]
    assert start == length.to_bytes(8, "little") + b"{" and told(start) == "a safetensors file"
    found = checkpoint.read_tensors(tmp_path / "step-1", checkpoint.verify(tmp_path / "step-1"), "model")
    assert found.keys() == tensors.keys()


def test_what_was_saved_comes_back(folder):
    read = checkpoint.verify(folder)
    assert (read.step, read.model) == (7, "toy")
    assert read.state == {"step": 7, "best_nats": 0.1}
    assert read.metrics == {"nats": 1 / 3, "missing": None}
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
    ]
    tensors = checkpoint.read_tensors(folder, read, "model")
    for name, value in weights().items():
        assert torch.equal(tensors[name], value)
        assert tensors[name].dtype == value.dtype


def test_tied_views_and_odd_shapes_are_saved(tmp_path):
    base = torch.randn(4, 3)
    tensors = {"a": base, "twin": base, "turned": base.T, "none": torch.zeros(0, 2), "scalar": torch.tensor(2.5)}
    checkpoint.save(tmp_path / "c", {"model": tensors}, step=1, model="toy", state={}, metrics={})
    read = checkpoint.read_tensors(tmp_path / "c", checkpoint.verify(tmp_path / "c"), "model")
    for name, value in tensors.items():
        assert torch.equal(read[name], value)


def refused(folder):
    try:
        checkpoint.verify(folder)
    except CheckpointError as error:
        assert error.exit_code == 3
        assert str(folder) in str(error)
        return str(error)
    return None


@pytest.mark.parametrize("name", ["manifest.json", "model.safetensors", "optimizer.safetensors"])
def test_a_file_cut_at_any_byte_is_refused(folder, name):
    whole = (folder / name).read_bytes()
    for length in range(len(whole)):
        (folder / name).write_bytes(whole[:length])
        assert refused(folder), length
    (folder / name).write_bytes(whole)
    assert refused(folder) is None


@pytest.mark.parametrize("name", ["manifest.json", "model.safetensors", "optimizer.safetensors"])
def test_a_file_with_more_at_its_end_is_refused(folder, name):
    for extra in (b"\0", b"\n", b" ", b"}"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole + extra)
        assert refused(folder)
        (folder / name).write_bytes(whole)


@pytest.mark.long
@pytest.mark.parametrize("name", ["manifest.json", "model.safetensors", "optimizer.safetensors"])
def test_any_single_flipped_bit_is_refused(folder, name):
    whole = (folder / name).read_bytes()
    every = 1 if LONG else 11
    assert len(whole) > 64
    for bit in range(0, 8 * len(whole), every):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(changed)
        assert refused(folder), bit


def test_any_single_flipped_bit_of_a_manifest_is_refused(folder):
    whole = (folder / "manifest.json").read_bytes()
    assert manifest.decode_manifest(whole, folder)["step"] == 7
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CheckpointError):
            manifest.decode_manifest(bytes(changed), folder)


@pytest.mark.parametrize("name", ["manifest.json", "model.safetensors"])
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    assert "No such file" in refused(folder)


@pytest.mark.parametrize("name", ["manifest.json", "model.safetensors"])
def test_links_are_followed_and_folders_and_pipes_are_refused(folder, name, tmp_path):
    path = folder / name
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert checkpoint.verify(folder).files
    (tmp_path / "moved").write_bytes(b"others' bytes")
    refused(folder)
    path.unlink()
    path.mkdir()
    assert "a folder" in refused(folder)
    path.rmdir()
    os.mkfifo(path)
    assert "a pipe" in refused(folder)


def test_the_folder_itself_must_be_one(folder, tmp_path):
    link = tmp_path / "linked"
    link.symlink_to(folder)
    assert "not a link" in refused(link)
    assert "no checkpoint" in refused(tmp_path / "nowhere")
    assert "no checkpoint" in refused(folder / "manifest.json")


class Payload:
    """What a pickle can do."""

    def __reduce__(self):
        return os.mkdir, ("/tmp/pixkit-must-not-exist",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_is_refused_and_not_run(folder, protocol):
    (folder / "model.safetensors").write_bytes(pickle.dumps(Payload(), protocol))
    assert "a pickle, which" in refused(folder)
    data = (folder / "model.safetensors").read_bytes()
    rewrite(folder, lambda body: body["files"]["model"].update(sha256=manifest.sha256(data), bytes=len(data)))
    assert "a pickle, which" in refused(folder)
    (folder / "manifest.json").write_bytes(pickle.dumps(Payload(), protocol))
    assert "damaged" in refused(folder)
    assert not os.path.exists("/tmp/pixkit-must-not-exist")


def test_other_bytes_with_a_matching_manifest_are_refused(folder):
    data = b"\x08\0\0\0\0\0\0\0notjson!" + bytes(20)
    (folder / "model.safetensors").write_bytes(data)
    rewrite(folder, lambda body: body["files"]["model"].update(sha256=manifest.sha256(data), bytes=len(data)))
    assert "not a safetensors file" in refused(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused_at_both_ends(folder, tmp_path, value):
    tensors = weights()
    tensors["a.weight"][1, 2] = value
    replace_tensors(folder, tensors)
    assert "not finite" in refused(folder)
    with pytest.raises(NonFiniteError, match=r"(?s)not finite.*a\.weight"):
        checkpoint.save(tmp_path / "new", {"model": tensors}, step=1, model="toy", state={}, metrics={})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["metrics", "state"])
def test_a_manifest_with_a_number_that_is_not_finite_is_not_written(tmp_path, part, value):
    """It would be no JSON, and no other program would read it."""
    told = {"state": {}, "metrics": {}, part: {"nats": value}}
    with pytest.raises(ValueError, match="JSON compliant"):
        checkpoint.save(tmp_path / "new", {"model": weights()}, step=1, model="toy", **told)
    assert list(tmp_path.iterdir()) == []


def test_tensors_other_than_the_manifest_says_are_refused(folder):
    data = format_tensors({**weights(), "b": torch.arange(3).int()})
    (folder / "model.safetensors").write_bytes(data)
    rewrite(folder, lambda body: body["files"]["model"].update(sha256=manifest.sha256(data), bytes=len(data)))
    assert "names, types or shapes" in refused(folder)


def test_a_manifest_of_another_step_is_refused(folder, tmp_path):
    other = tmp_path / "step-8"
    shutil.copytree(folder, other)
    assert "another checkpoint" in refused(other)
    assert checkpoint.verify(shutil.copytree(folder, tmp_path / "renamed")).step == 7


def test_a_manifest_of_other_weights_is_refused(folder, tmp_path):
    other = tmp_path / "other" / "step-7"
    checkpoint.save(
        other,
        {"model": weights(1), "optimizer": {"p/step/a": torch.tensor(3.0)}},
        step=7,
        model="toy",
        state={},
        metrics={},
    )
    shutil.copy(other / "manifest.json", folder / "manifest.json")
    assert "damaged" in refused(folder)


def test_a_newer_format_is_refused(folder):
    rewrite(folder, lambda body: body.update(format=2))
    message = refused(folder)
    assert "format 2" in message
    assert "newer pixkit" in message


@pytest.mark.parametrize("version", [None, "1", 1.5, [], -1])
def test_an_odd_format_is_refused(folder, version):
    rewrite(folder, lambda body: body.update(format=version))
    assert "a checkpoint format that this pixkit does not read" in refused(folder)


@pytest.mark.parametrize("key", ["step", "model", "files", "state", "metrics"])
@pytest.mark.parametrize("value", [None, 1.5, ["x"]])
def test_a_manifest_without_its_keys_is_refused(folder, key, value):
    rewrite(folder, lambda body: body.update({key: value}))
    assert f"'{key}'" in refused(folder)
    rewrite(folder, lambda body: {k: v for k, v in body.items() if k != key})
    assert f"'{key}'" in refused(folder)


@pytest.mark.parametrize("record", [None, {}, {"sha256": "x", "bytes": 3}, {"sha256": "x", "bytes": -1, "layout": ""}])
def test_an_incomplete_record_is_refused(folder, record):
    rewrite(folder, lambda body: body["files"].update(model=record))
    assert "files.model" in refused(folder)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "NaN", "[" * 100_000, '{"sha256": "\\ud800"}'])
def test_a_manifest_that_is_something_else_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    assert "damaged" in refused(folder)


def test_older_formats_are_brought_up_to_date_step_by_step(folder):
    rewrite(
        folder,
        lambda body: {**{k: v for k, v in body.items() if k != "metrics"}, "format": -1, "stap": body.pop("step")},
    )
    migrations = {
        -1: lambda body: {**body, "format": 0, "step": body["stap"]},
        0: lambda body: {**body, "format": 1, "metrics": {"new": True}},
    }
    read = manifest.read_manifest(folder, migrations)
    assert (read.step, read.metrics) == (7, {"new": True})
    with pytest.raises(CheckpointError, match="does not read"):
        manifest.read_manifest(folder)


def test_weights_that_are_not_there_are_refused(folder):
    with pytest.raises(CheckpointError, match="no ema weights") as caught:
        checkpoint.read_tensors(folder, checkpoint.verify(folder), "ema")
    assert (caught.value.where, caught.value.found, caught.value.hint) == (str(folder), "model, optimizer", None)
    rewrite(folder, lambda body: {**body, "files": {"model": body["files"]["model"]}})
    with pytest.raises(CheckpointError, match="no optimizer weights") as caught:
        checkpoint.read_tensors(folder, checkpoint.verify(folder), "optimizer")
    assert caught.value.hint == "an exported run is not trained further; train.init_from=RUN starts another one"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda state: state.pop("scale"), "scale is missing"),
        (lambda state: state.update(extra=torch.zeros(2)), "extra is not in the model"),
        (lambda state: state.update(scale=torch.ones(5)), r"scale is float32\[5\], the model has float32\[4\]"),
        (lambda state: state.update(scale=torch.ones(4).double()), "scale is float64"),
        (lambda state: state.update(scale=torch.ones(4).half()), "scale is float16"),
        (lambda state: state.update(initialised=torch.zeros((), dtype=torch.int32)), "initialised is int32"),
    ],
)
def test_another_models_weights_are_refused_and_change_nothing(harm, message):
    model, _ = toy_model(toy_recipe())
    state = {name: value + 1 for name, value in model.state_dict().items()}
    harm(state)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load_model(model, state, "here")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_many_differences_are_cut_short():
    model, _ = toy_model(toy_recipe(NormedToy))
    others = {f"other.{number}": torch.zeros(1) for number in range(1000)}
    with pytest.raises(CheckpointError, match=r"other\.9 is not in the model; .* and 9\d\d more"):
        checkpoint.load_model(model, {**model.state_dict(), **others}, "here")


def test_weights_of_the_same_model_are_taken():
    model, _ = toy_model(toy_recipe())
    state = {name: value + 1 for name, value in model.state_dict().items()}
    checkpoint.load_model(model, state, "here")
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_model_with_more_than_tensors_in_its_state_is_refused():
    class Odd(Toy):
        def get_extra_state(self):
            return {"anything": 1}

    model, _ = toy_model(toy_recipe(Odd))
    with pytest.raises(ValueError, match="something other than tensors in its state"):
        checkpoint.weights(model)


def test_saving_again_replaces_the_whole_checkpoint(folder):
    checkpoint.save(folder, {"model": weights(1)}, step=7, model="toy", state={}, metrics={})
    assert sorted(entry.name for entry in folder.iterdir()) == ["manifest.json", "model.safetensors"]
    read = checkpoint.read_tensors(folder, checkpoint.verify(folder), "model")
    assert torch.equal(read["a.weight"], weights(1)["a.weight"])
    assert [entry.name for entry in folder.parent.iterdir()] == ["step-7"]


def test_saving_into_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        checkpoint.save(tmp_path / "file" / "step-1", {"model": weights()}, step=1, model="toy", state={}, metrics={})
