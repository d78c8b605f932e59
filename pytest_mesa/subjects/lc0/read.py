"""A weight file's bytes, decompressed within bounds."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from pytest_mesa.subjects.errors import SubjectError

MAX_BYTES = 2 << 30  # of weights; the largest net so far has 0.8 GB
# A bomb grows a thousandfold. Trained weights hardly shrink at all, constant ones do.
MAX_GROWTH = 64
ALWAYS_ALLOWED = 16 << 20
_CHUNK = 1 << 20


def decompressed(path: Path, most: int = MAX_BYTES) -> bytearray:
    """The content of a gzipped file.

    Raises:
        SubjectError: it can't be read, is no gzip or a broken one, or holds too much.
    """
    content = bytearray()
    try:
        bound = min(most, max(ALWAYS_ALLOWED, MAX_GROWTH * path.stat().st_size))
        with gzip.open(path) as stream:
            while chunk := stream.read(_CHUNK):
                content += chunk
                if len(content) > bound:
                    raise SubjectError(
                        f"{path} decompresses to more than {bound:,} bytes, "
                        "which is no plausible weight file"
                    )
    except EOFError as error:
        raise SubjectError(f"{path} is cut short; fetch it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise SubjectError(
            f"{path} is no intact gzip file ({error}); lc0's nets come as .pb.gz"
        ) from error
    except OSError as error:
        raise SubjectError(f"cannot read {path}: {error.strerror or error}") from error
    return content
