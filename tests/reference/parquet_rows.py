"""Writes crates/data/tests/fixtures/rows.parquet: conversations as `datasets` writes them, in two row groups.

    pip install pyarrow
    python tests/reference/parquet_rows.py
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

talks = [("Hi", "Hello"), ("你好", "您好"), ("last", "row")]
turn = pa.struct([("role", pa.string()), ("content", pa.string()), ("name", pa.string())])
table = pa.table(
    {
        "id": pa.array(range(len(talks)), pa.int64()),
        "messages": pa.array(
            [
                [{"role": "user", "content": q, "name": None}, {"role": "assistant", "content": a, "name": None}]
                for q, a in talks
            ],
            pa.list_(turn),
        ),
    }
)
out = Path(__file__).parents[2] / "crates/data/tests/fixtures/rows.parquet"
pq.write_table(table, out, compression="snappy", row_group_size=2, store_schema=False)
