"""Sends a vector in pgvector's binary format: four bytes a number, a third of an array of float8.

Source: https://github.com/pgvector/pgvector, `vector_recv`
"""

import sys
from array import array
from collections.abc import Sequence
from struct import pack

from psycopg.adapt import Dumper
from psycopg.pq import Format


class Vector:
    """A parameter of a statement, which casts it: `%b::vector`."""

    def __init__(self, numbers: Sequence[float]) -> None:
        floats = array("f", numbers)
        if sys.byteorder == "little":
            floats.byteswap()
        self.packed = pack(">HH", len(floats), 0) + floats.tobytes()


class VectorDumper(Dumper):
    """Without an OID: the cast in the statement tells Postgres the type."""

    format = Format.BINARY

    def dump(self, obj: Vector) -> bytes:
        return obj.packed
