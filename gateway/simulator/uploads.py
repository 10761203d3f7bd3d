"""Files that were uploaded, by the id that the upload service answered. Bounded: the oldest are forgotten."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

_MOST_BYTES = 256_000_000
_MOST_FILES = 2_000


@dataclass(frozen=True, slots=True)
class Upload:
    """One uploaded file."""

    id: str
    name: str
    type: str
    data: bytes


class Uploads:
    """The uploaded files."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, Upload] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._files)

    def add(self, name: str, content_type: str, data: bytes) -> Upload:
        """Keep a file under a new id."""
        number = secrets.token_hex(16)
        upload = Upload(f"/contrib_service/ttl_1d/17900000{number[:2]}{number}", name, content_type, data)
        self._files[upload.id] = upload
        self._bytes += len(data)
        while len(self._files) > _MOST_FILES or (self._bytes > _MOST_BYTES and len(self._files) > 1):
            _, gone = self._files.popitem(last=False)
            self._bytes -= len(gone.data)
        return upload

    def get(self, upload_id: str) -> Upload | None:
        """The file with this id."""
        return self._files.get(upload_id)

    def all(self) -> list[Upload]:
        """All files, oldest first."""
        return list(self._files.values())
