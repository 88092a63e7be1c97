#!/usr/bin/python3
"""What a Python program sees inside of its own machine."""
import json
import os
import platform
import sqlite3
import sys

db = sqlite3.connect(":memory:")
db.execute("create table facts (name text, value text)")
db.executemany("insert into facts values (?, ?)", [
    ("system", platform.system()),
    ("python", platform.python_version()),
    ("pid", os.getpid()),
    ("arguments", " ".join(sys.argv[1:])),
])
print(json.dumps(dict(db.execute("select name, value from facts order by name")), indent=2))
