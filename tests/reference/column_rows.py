"""Writes rows.parquet, rows.arrow (a file) and rows.stream.arrow (what `datasets` keeps on disk) into crates/data/tests/fixtures:
conversations, in two row groups or record batches.

    pip install pyarrow
    python tests/reference/column_rows.py
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as ipc
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
out = Path(__file__).parents[2] / "crates/data/tests/fixtures"
pq.write_table(table, out / "rows.parquet", compression="snappy", row_group_size=2, store_schema=False)
with ipc.new_file(out / "rows.arrow", table.schema, options=ipc.IpcWriteOptions(compression="lz4")) as writer:
    writer.write_table(table, max_chunksize=2)
with ipc.new_stream(out / "rows.stream.arrow", table.schema) as writer:
    writer.write_table(table, max_chunksize=2)
