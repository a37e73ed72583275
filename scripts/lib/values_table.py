#!/usr/bin/env python3
"""Prints the table of the chart's values for docs/operations/install.md, or writes it there.

values_table.py VALUES.yaml              the table
values_table.py VALUES.yaml DOCUMENT     the document with the table between its markers, to standard output

Reads values.yaml by lines, since what it wants is in the comments: "# -- text" above a key is about that key.
"""
import pathlib
import re
import sys

BEGIN = "<!-- values:begin (written by scripts/render-manifests) -->"
END = "<!-- values:end -->"


def rows(text):
    """(dotted key, default as written, description) of every value."""
    path, comment = [], None
    for line in text.splitlines():
        remark = re.match(r" *# ?(-- )?(.*)", line)
        key = re.match(r"( *)(\w+):(?: (.*))?$", line)
        if remark and remark.group(1):
            comment = remark.group(2)
        elif remark and comment is not None:
            comment += " " + remark.group(2)
        elif key:
            path = path[:len(key.group(1)) // 2] + [key.group(2)]
            if key.group(3) is not None:
                yield ".".join(path), key.group(3), comment or ""
            comment = None
        else:
            comment = None


def table(values):
    lines = ["| value | default | |", "|---|---|---|"]
    lines += [f"| `{key}` | `{default}` | {text} |" for key, default, text in rows(values)]
    return "\n".join(lines)


def main():
    made = table(pathlib.Path(sys.argv[1]).read_text())
    if len(sys.argv) > 2:
        document = pathlib.Path(sys.argv[2]).read_text()
        head, _, rest = document.partition(BEGIN)
        _, _, tail = rest.partition(END)
        if not rest or not tail:
            sys.exit(f"{sys.argv[2]} lacks the markers {BEGIN} and {END}")
        made = head + BEGIN + "\n" + made + "\n" + END + tail
        sys.stdout.write(made)
    else:
        print(made)


main()
