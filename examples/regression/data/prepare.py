"""Draws diamonds.csv.gz from the data set of ggplot2, as the Python package plotnine 0.15.9 holds it:

    pip download --no-deps plotnine==0.15.9
    python3 prepare.py plotnine-0.15.9-py3-none-any.whl
"""

import csv
import gzip
import io
import random
import sys
import zipfile

ROWS = 6000
SEED = 1

table = zipfile.ZipFile(sys.argv[1]).read("plotnine/data/diamonds.csv").decode()
header, *rows = csv.reader(table.splitlines())
first = {}  # a diamond that is there twice is taken once
for number, row in enumerate(rows, 1):
    first.setdefault(tuple(row), number)
drawn = random.Random(SEED).sample([(number, *row) for row, number in first.items()], ROWS)

out = io.StringIO()
csv.writer(out, lineterminator="\n").writerows([("id", *header), *drawn])
with open("diamonds.csv.gz", "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
    packed.write(out.getvalue().encode())
