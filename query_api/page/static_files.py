"""The files of the page as answers: made once, named by what is in them, and under a policy that lets no text run.

Content Security Policy Level 3, https://www.w3.org/TR/CSP3/; `immutable` is RFC 8246.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

FOLDER: Final = Path(__file__).parent / "files"
_START: Final = "index.html"
# Where the version stands in the start page.
_VERSION_MARK: Final = b"{{version}}"
_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Nothing from another host, nothing written in the page itself, no text made into elements.
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_ISOLATION: Final = MappingProxyType(
    {"cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin"}
)
# Asked for by its version it never changes; anything else is asked for anew each time, and mostly answered by 304.
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ANEW: Final = "no-cache"


@dataclass(frozen=True, slots=True)
class Content:
    """One file: its bytes as they are and compressed, and what is said of them."""

    plain: bytes
    compressed: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, suffix: str) -> Content:
        """The file with this content and this end of its name."""
        etag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
        return cls(content, gzip.compress(content, mtime=0), _MEDIA_TYPES[suffix], etag)


class StaticFiles:
    """All files of the page. Modules import each other by relative names, so one version in the path is that of all."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        digest = hashlib.blake2b(digest_size=9)
        for name, content in sorted(files.items()):
            digest.update(b"%d %s %d " % (len(name), name.encode(), len(content)) + content)
        self.version: Final = digest.hexdigest()
        start = files[_START].replace(_VERSION_MARK, self.version.encode())
        self.start: Final = Content.of(start, ".html")
        self._files = {name: Content.of(content, Path(name).suffix) for name, content in files.items()}
        del self._files[_START]

    @classmethod
    def read(cls, folder: Path = FOLDER) -> StaticFiles:
        """Those in a folder."""
        return cls({path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in _MEDIA_TYPES})

    @property
    def names(self) -> frozenset[str]:
        """Of all files but the start page."""
        return frozenset(self._files)

    def find(self, name: str) -> Content | None:
        """The file of this name; None where there is none."""
        return self._files.get(name)

    def caching(self, version: str) -> str:
        """How long what was asked for under a version may be kept: for ever, or where it is another's not at all."""
        return _FOR_EVER if version == self.version else _ANEW


def headers_of(content: Content, caching: str = _ANEW) -> dict[str, str]:
    """The headers of a file."""
    return {
        "etag": content.etag,
        "vary": "accept-encoding",
        "cache-control": caching,
        "content-security-policy": POLICY,
        **_ISOLATION,
    }
