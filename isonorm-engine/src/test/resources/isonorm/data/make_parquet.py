"""Writes the Parquet files that DuckDB does not: other codecs of the same forty rows, and names with a dot. Needs pyarrow."""
import os

import pyarrow as pa
import pyarrow.parquet as pq

HERE = os.path.dirname(os.path.abspath(__file__))
text = [None if i == 3 else "" if i == 5 else "Row %d: naïve \U0001d11e\n" % i + "word " * (i % 7) for i in range(40)]
table = pa.table({"id": list(range(40)), "text": text, "list": [[i, i + 1] for i in range(40)]})
for codec in ("lz4", "brotli"):
    pq.write_table(table, os.path.join(HERE, codec + ".parquet"), compression=codec)
names = pa.table({"meta": pa.array([{"text": "inner %d" % i, "n": i} for i in range(3)]), "my.text": ["dotted %d" % i for i in range(3)],
                  "other": pa.array([{"text": "nested"}] * 3), "other.text": ["outer %d" % i for i in range(3)]})
pq.write_table(names, os.path.join(HERE, "names.parquet"), compression="none")
