"""Opens files of `torch.save`, of every version, without loading their tensors, with a closed unpickler.

torch 1.5 and older wrote one pickle after the other and then all numbers; later ones write an uncompressed zip archive.
"""

import contextlib
import io
import itertools
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from .errors import ConversionError
from .stored_tensors import Storage, StoredTensor
from .torch_checkpoints import check_file, numpy_globals, refusal

#: The pickles of a file, without the numbers; those of the largest published prior have less than a million bytes.
MAX_PICKLE_BYTES = 64 * 1024**2
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001

STORAGE_TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
#: Instructions of pickles that consist of tensors, numbers, texts, containers and objects that have names (all but a few
#: of which are refused by name). Missing are extensions and buffers beside the pickle.
OPCODES = {
    "structure": "PROTO FRAME STOP MARK POP POP_MARK",
    "constants": "NONE NEWTRUE NEWFALSE",
    "numbers": "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT",
    "texts": "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8",
    "bytes": "BINBYTES SHORT_BINBYTES BINBYTES8",
    "sequences": "EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3",
    "mappings": "EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS",
    "named objects": "GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID INST OBJ NEWOBJ NEWOBJ_EX",
    "memo": "PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET",
}
ALLOWED_OPCODES = frozenset(" ".join(OPCODES.values()).split())
MEMO_OPCODES = ("PUT", "BINPUT", "LONG_BINPUT")


@contextlib.contextmanager
def open_torch(path: Path) -> Iterator[Any]:
    """What a file of `torch.save` holds, with a [`StoredTensor`] for every tensor, readable until the context ends.

    Where tensors were (a GPU) does not matter. Nothing in the file is run.

    Raises:
        ConversionError: the file is missing, damaged, breaks off, is no such file, or asks for anything but tensors,
            numbers, texts and containers.
    """
    path = Path(path)
    check_file(path)
    with path.open("rb") as file:
        try:
            is_archive = file.read(2) == b"PK"
            file.seek(0)
            contents = _open_archive(path, file) if is_archive else _open_legacy(path, file)
        except ConversionError:
            raise
        except Exception as error:  # of a damaged file its parts raise whatever they do
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ConversionError(f"{path.name} is damaged or no file of torch.save: {reason}") from error
        yield contents


def _open_legacy(path: Path, file: BinaryIO) -> Any:
    """Magic number, version, system, object and names of storages, each a pickle; then the storages, each after a length."""
    if _unpickle(path, file) != LEGACY_MAGIC:
        raise ConversionError(f"{path.name} is no file of torch.save: it starts with other numbers.")
    if (version := _unpickle(path, file)) != LEGACY_VERSION:
        raise ConversionError(f"{path.name} is of the format's version {version!r}; {LEGACY_VERSION} is read.")
    system = _unpickle(path, file)
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise ConversionError(f"{path.name} was written on a machine with another order of bytes.")
    storages: dict[str, Storage] = {}
    contents = _unpickle(path, file, lambda *place: _storage(storages, file, path, *place))
    names = _unpickle(path, file)
    size = path.stat().st_size
    for name in names:
        storage = storages.get(name)
        header = file.read(8)
        if storage is None or (len(header) == 8 and struct.unpack("<q", header)[0] != storage.length):
            raise ConversionError(f"{path.name} is damaged: its tensors and their numbers do not fit together.")
        storage.start = file.tell()
        end = file.seek(storage.length * storage.dtype.itemsize, io.SEEK_CUR)
        if len(header) < 8 or end > size:
            raise ConversionError(
                f"{path.name} breaks off: it has {size:,} bytes, and the tensors need more; download it again."
            )
    if missing := set(storages) - set(names):
        raise ConversionError(f"{path.name} is damaged: it lacks the numbers of {len(missing)} tensors.")
    return contents


def _open_archive(path: Path, file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise ConversionError(f"{path.name} is a zip archive, but none of torch.save: it has no data.pkl.")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in members and archive.read(f"{root}byteorder")[:16].strip() != b"little":
            raise ConversionError(f"{path.name} was written on a machine with another order of bytes.")
        if members[pickles[0]].file_size > MAX_PICKLE_BYTES:
            raise ConversionError(f"{path.name} has a pickle of {members[pickles[0]].file_size:,} bytes.")
        storages: dict[str, Storage] = {}
        pickled = io.BytesIO(archive.read(pickles[0]))
        contents = _unpickle(path, pickled, lambda *place: _storage(storages, file, path, *place))
    for key, storage in storages.items():
        member = members.get(f"{root}data/{key}")
        expected = storage.length * storage.dtype.itemsize
        if member is None or member.compress_type != zipfile.ZIP_STORED or member.file_size < expected:
            raise ConversionError(f"{path.name} is damaged: its tensors and their numbers do not fit together.")
        # The local header repeats the name, and its extra field is another one than the directory's.
        file.seek(member.header_offset + 26)
        name_bytes, extra_bytes = struct.unpack("<HH", file.read(4))
        storage.start = member.header_offset + 30 + name_bytes + extra_bytes
    return contents


def _storage(storages: dict[str, Storage], file: BinaryIO, path: Path, kind: Any, *place: Any) -> Any:
    """The storage that a persistent id of a pickle means: its type, name, device, length and, in old files, view.

    Raises:
        ConversionError: it is no storage.
    """
    if kind != "storage" or not 4 <= len(place) <= 5 or not isinstance(place[0], _StorageType):
        raise ConversionError(
            f"{path.name} is refused: it holds {str(kind)[:40]!r} beside tensors, such as the code of a whole model. Save "
            "the state_dict of the model instead."
        )
    kind, name, _, length, *view = place
    if not isinstance(name, str) or not isinstance(length, int) or length < 0 or view not in ([], [None]):
        raise ConversionError(f"{path.name} is damaged: a tensor's numbers are at {str(place[1:])[:80]}.")
    storage = storages.setdefault(name, Storage(file, path.name, kind.dtype, length))
    if (storage.dtype, storage.length) != (kind.dtype, length):
        raise ConversionError(f"{path.name} is damaged: two tensors disagree about the same numbers.")
    return storage


class _StandIn:
    """Stands for an object of a pickle; what happens when it is called is decided here. A pickle cannot change it."""

    def __init__(self, name: str, function: Callable | None = None):
        self.name, self.function = name, function

    def __call__(self, *arguments: Any) -> Any:
        if self.function is None:
            raise pickle.UnpicklingError(f"{self.name} is called")
        return self.function(*arguments)

    def __setstate__(self, state: Any):
        raise pickle.UnpicklingError(f"{self.name} is changed")

    def __reduce__(self):
        raise TypeError(f"{self.name} stands for an object of another file")


class _StorageType(_StandIn):
    def __init__(self, name: str, dtype: torch.dtype):
        super().__init__(name)
        self.dtype = dtype


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or not all(isinstance(number, int) for number in numbers):
        raise pickle.UnpicklingError("a tensor without numbers")
    return StoredTensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes in another encoding")
    return text.encode("latin1")


def _globals() -> dict[str, Any]:
    """Names in pickles that are known, and what stands for them."""
    known: dict[str, Any] = {
        "collections.OrderedDict": _StandIn("collections.OrderedDict", OrderedDict),
        "torch._utils._rebuild_tensor": _StandIn("_rebuild_tensor", _rebuild_tensor),
        "torch._utils._rebuild_tensor_v2": _StandIn("_rebuild_tensor_v2", _rebuild_tensor),
        "torch._utils._rebuild_parameter": _StandIn("_rebuild_parameter", _rebuild_parameter),
        "torch.Size": _StandIn("torch.Size", tuple),
        "_codecs.encode": _StandIn("_codecs.encode", _encode),
    }
    for module, (name, dtype) in itertools.product(("torch", "torch.cuda"), STORAGE_TYPES.items()):
        known[f"{module}.{name}"] = _StorageType(name, dtype)
    return known | {name: stand_in for stand_in, name in numpy_globals()}


class _Unpickler(pickle.Unpickler):
    def __init__(self, path: Path, pickled: bytes, persistent: Callable | None):
        super().__init__(io.BytesIO(pickled), encoding="utf-8")
        self.path, self.persistent, self.known = path, persistent, _globals()

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}"
        if full_name not in self.known:
            raise ConversionError(refusal(self.path, full_name))
        return self.known[full_name]

    def persistent_load(self, place: Any) -> Any:
        if self.persistent is None or not isinstance(place, tuple) or not place:
            raise pickle.UnpicklingError("tensors where none belong")
        return self.persistent(*place)


class _Bounded:
    """Reads at most `MAX_PICKLE_BYTES`, whatever lengths a damaged pickle asks for."""

    def __init__(self, file: BinaryIO):
        self.file, self.left = file, MAX_PICKLE_BYTES

    def read(self, count: int) -> bytes:
        return self._counted(self.file.read(count) if 0 <= count <= self.left else b"", count)

    def readline(self) -> bytes:
        return self._counted(self.file.readline(self.left + 1), 0)

    def _counted(self, data: bytes, asked: int) -> bytes:
        self.left -= max(len(data), asked)
        if self.left < 0:
            raise pickle.UnpicklingError(f"its pickle has more than {MAX_PICKLE_BYTES:,} bytes")
        return data


def _unpickle(path: Path, file: BinaryIO, persistent: Callable | None = None) -> Any:
    """The next object of a file, whose instructions are all looked at before any is followed."""
    start = file.tell()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(_Bounded(file))):
        if opcode.name not in ALLOWED_OPCODES:
            raise ConversionError(
                f"{path.name} is refused: its pickle has the instruction {opcode.name}, which a checkpoint does not need. "
                "Nothing of it was run."
            )
        # The memo is an array that grows to the index asked for; writers number in order.
        if opcode.name in MEMO_OPCODES and argument > count:
            raise pickle.UnpicklingError("a pickle whose memo has gaps")
    end = file.tell()
    file.seek(start)
    return _Unpickler(path, file.read(end - start), persistent).load()
