"""Files of torch.save, old and new, are read as they are, piece by piece, and nothing in them is run."""

import collections
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from conversion import torch_streams
from conversion.errors import ConversionError
from conversion.stored_tensors import StoredTensor, read_safetensors
from conversion.torch_streams import LEGACY_MAGIC, LEGACY_VERSION, open_torch

both_formats = pytest.mark.parametrize("zipped", [False, True], ids=["old", "new"])
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def save(path: Path, contents, zipped: bool) -> Path:
    torch.save(contents, path, _use_new_zipfile_serialization=zipped)
    return path


def with_pickle(path: Path, pickled: bytes, zipped: bool) -> Path:
    """A file whose object is this pickle; there are no tensors."""
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
        return path
    parts = [pickle.dumps(part, protocol=2) for part in (LEGACY_MAGIC, LEGACY_VERSION, SYSTEM)]
    path.write_bytes(b"".join(parts) + pickled + pickle.dumps([], protocol=2))
    return path


def refused(path: Path) -> str:
    with pytest.raises(ConversionError) as caught, open_torch(path):
        pass
    return str(caught.value)


@both_formats
def test_what_is_saved_is_read(zipped, tmp_path):
    base = torch.arange(24.0)
    contents = {
        "views": [base.view(4, 6), base.view(4, 6).T, base[3:7], base[::5]],
        "types": [torch.ones(3, dtype=dtype) for dtype in torch_streams.STORAGE_TYPES.values()],
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(2.5),
        "parameter": nn.Parameter(torch.ones(2)),
        "ordered": collections.OrderedDict(a=1, b=[None, True, 2.5, "text", (1, 2)]),
        "number": np.float64(0.25),
        "size": torch.Size([1, 2]),
        "large": 2**70,
    }
    with open_torch(save(tmp_path / "file.pt", contents, zipped)) as read:
        for name in ("views", "types"):
            for ours, theirs in zip(read[name], contents[name], strict=True):
                assert isinstance(ours, StoredTensor)
                assert torch.equal(ours.load(), theirs)
        for name in ("empty", "scalar", "parameter"):
            assert torch.equal(read[name].load(), contents[name].detach())
        assert read["ordered"] == contents["ordered"]
        assert (read["number"], read["size"], read["large"]) == (0.25, (1, 2), 2**70)
        assert read["views"][0].place == read["views"][0].place != read["views"][2].place


def test_a_state_dict_with_metadata_is_read(tmp_path):
    module = nn.BatchNorm1d(3)
    with open_torch(save(tmp_path / "file.pt", module.state_dict(), False)) as read:
        assert torch.equal(read["weight"].load(), module.weight.detach())


def test_pieces_make_the_whole(tmp_path):
    numbers = torch.arange(1000.0)
    with open_torch(save(tmp_path / "file.pt", {"a": numbers, "b": numbers[10:].view(99, 10).T}, False)) as read:
        pieces = [piece.clone() for piece in read["a"].chunks(chunk_bytes=4 * 64)]
        assert [len(piece) for piece in pieces] == [64] * 15 + [40]
        assert torch.equal(torch.cat(pieces), numbers)
        assert torch.equal(torch.cat(list(read["b"].chunks(64))), numbers[10:].view(99, 10).T.flatten())


# What would run something


class Attack:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@both_formats
@pytest.mark.parametrize("place", ["itself", "inside", "optimizer"])
def test_code_is_refused_by_name_and_not_run(zipped, place, tmp_path):
    attack = Attack(tmp_path / "made")
    contents = {"itself": attack, "inside": {"model": {"a": attack}}, "optimizer": {"model": {}, "opt": [attack]}}
    pickled = pickle.dumps(contents[place], protocol=2)
    pickle.loads(pickled)  # noqa: S301, our own attack, which works where nobody refuses it
    (tmp_path / "made").rmdir()
    message = refused(with_pickle(tmp_path / "file.pt", pickled, zipped))
    assert f"asks for the Python object {os.mkdir.__module__}.mkdir," in message
    assert "Nothing of it was run" in message
    assert not (tmp_path / "made").exists()


@both_formats
@pytest.mark.parametrize("module_and_name", ["os.system", "builtins.eval", "torch.load", "numpy.load", "posix.system"])
def test_no_other_object_is_looked_up(module_and_name, zipped, tmp_path):
    module, _, name = module_and_name.rpartition(".")
    pickled = f"c{module}\n{name}\n.".encode()
    assert f"asks for the Python object {module_and_name}," in refused(with_pickle(tmp_path / "file.pt", pickled, zipped))


@both_formats
def test_a_whole_module_is_refused(zipped, tmp_path):
    assert "asks for the Python object torch.nn.modules.linear.Linear" in refused(
        save(tmp_path / "file.pt", nn.Linear(2, 2), zipped)
    )


@both_formats
@pytest.mark.parametrize(
    ("pickled", "instruction"),
    [
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"P12\n.", "PERSID"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
    ],
)
def test_other_instructions_are_refused(pickled, instruction, zipped, tmp_path):
    assert f"has the instruction {instruction}," in refused(with_pickle(tmp_path / "file.pt", pickled, zipped))


@both_formats
@pytest.mark.parametrize("name", ["torch._utils\n_rebuild_tensor_v2", "torch\nFloatStorage", "collections\nOrderedDict"])
def test_a_pickle_cannot_change_what_stands_for_an_object(name, zipped, tmp_path):
    pickled = b"\x80\x02c" + name.encode() + b"\n}X\x08\x00\x00\x00functionNsb."
    assert "is changed" in refused(with_pickle(tmp_path / "file.pt", pickled, zipped))
    assert torch_streams._globals()["collections.OrderedDict"]({}) == {}


@both_formats
@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "FloatStorage is called"),
        (b"(ctorch\nFloatStorage\no.", "FloatStorage is called"),
        (b"(itorch\nFloatStorage\n.", "FloatStorage is called"),
        (b"\x80\x02ctorch\nFloatStorage\n)\x81.", "NEWOBJ class argument"),
        (b"(iposix\nsystem\n.", "asks for the Python object posix.system,"),
    ],
)
def test_types_make_no_objects(pickled, message, zipped, tmp_path):
    assert message in refused(with_pickle(tmp_path / "file.pt", pickled, zipped))


# What would fill the memory


@both_formats
def test_a_memo_with_gaps_is_refused(zipped, tmp_path):
    pickled = b"\x80\x02Nr" + struct.pack("<I", 2**31) + b"."
    assert "memo has gaps" in refused(with_pickle(tmp_path / "file.pt", pickled, zipped))


@both_formats
def test_a_length_beyond_the_file_is_refused(zipped, tmp_path):
    pickled = b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"abc."
    message = refused(with_pickle(tmp_path / "file.pt", pickled, zipped))
    assert "is damaged or no file of torch.save" in message


@both_formats
def test_a_tensor_is_not_larger_than_its_numbers(zipped, tmp_path):
    spread = torch.ones(1).expand(1_000_000, 1_000_000)
    with open_torch(save(tmp_path / "file.pt", {"a": spread, "b": torch.ones(3)}, zipped)) as read:
        assert not read["a"].is_inside()
        assert read["b"].is_inside()


def test_tensors_beyond_their_numbers_are_seen():
    storage = torch_streams.Storage(None, "file.pt", torch.float32, 10)
    assert StoredTensor(storage, 0, (2, 5), (5, 1)).is_inside()
    assert not StoredTensor(storage, 1, (2, 5), (5, 1)).is_inside()
    assert not StoredTensor(storage, -1, (2,), (1,)).is_inside()
    assert not StoredTensor(storage, 0, (2, -5), (5, 1)).is_inside()
    assert not StoredTensor(storage, 0, (5,), (-1,)).is_inside()
    assert not StoredTensor(storage, 0, (5,), (1, 1)).is_inside()


# What is damaged, or something else


@both_formats
def test_a_file_that_breaks_off_is_told_wherever_it_does(zipped, tmp_path):
    whole = save(tmp_path / "file.pt", {"a": torch.ones(500), "b": torch.ones(20)}, zipped).read_bytes()
    path = tmp_path / "part.pt"
    for length in range(1, len(whole), 97):
        path.write_bytes(whole[:length])
        message = refused(path)
        assert "part.pt" in message
        if not zipped and length > len(whole) - 2000:
            assert "breaks off" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>not found</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"hello", "is damaged or no file of torch.save"),
        (pickle.dumps({"model": {}}), "starts with other numbers"),
        (pickle.dumps(LEGACY_MAGIC) + pickle.dumps(1), "is of the format's version 1"),
        (
            pickle.dumps(LEGACY_MAGIC) + pickle.dumps(LEGACY_VERSION) + pickle.dumps(SYSTEM | {"little_endian": False}),
            "another order of bytes",
        ),
        (b"PK\x03\x04 not an archive", "breaks off or is damaged"),
    ],
)
def test_what_is_no_checkpoint_is_told(content, message, tmp_path):
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    assert message in refused(path)


def test_files_that_are_not_there_are_told(tmp_path):
    assert "There is no file" in refused(tmp_path / "file.pt")
    (tmp_path / "link.pt").symlink_to(tmp_path / "nowhere.pt")
    assert "is a link to" in refused(tmp_path / "link.pt")
    assert "is no file" in refused(tmp_path)


def test_another_archive_is_refused(tmp_path):
    path = tmp_path / "file.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "none of torch.save" in refused(path)


def test_an_archive_without_its_numbers_is_refused(tmp_path):
    whole = save(tmp_path / "file.pt", {"a": torch.ones(5)}, True)
    for name, change in (("lacking", None), ("short", b"1234"), ("packed", "compress")):
        path = tmp_path / f"{name}.pt"
        with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(path, "w") as other:
            for member in archive.infolist():
                data = archive.read(member)
                if not member.filename.endswith("data/0"):
                    other.writestr(member.filename, data)
                elif change == "compress":
                    other.writestr(member.filename, data, zipfile.ZIP_DEFLATED)
                elif change is not None:
                    other.writestr(member.filename, change)
        assert "do not fit together" in refused(path)


# Safetensors


def test_safetensors_are_read_in_place(tmp_path):
    from safetensors.torch import save_file

    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    with path.open("rb") as file:
        read = read_safetensors(path, file)
        assert {name: tensor.dtype for name, tensor in read.items()} == {"a": torch.float32, "b": torch.bfloat16}
        assert all(torch.equal(read[name].load(), tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', b"12345678", "breaks off: 8 bytes are missing"),
        (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,8]}}', b"12345678", "is damaged"),
        (b'{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}', b"12345678", "is damaged"),
        (b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,-8]}}', b"12345678", "is damaged"),
        (b'{"a":3}', b"", "is damaged"),
        (b"[1]", b"", "is damaged"),
        (b"no json", b"", "is damaged"),
    ],
)
def test_damaged_safetensors_are_told(header, data, message, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    with path.open("rb") as file, pytest.raises(ConversionError, match=message):
        read_safetensors(path, file)
    path.write_bytes(struct.pack("<Q", 2**40) + header)
    with path.open("rb") as file, pytest.raises(ConversionError, match="is damaged"):
        read_safetensors(path, file)
