#!/usr/bin/env python3
"""Print a table from what runs of scripts/train_curvature.py printed.

    python3 scripts/curvature/table.py [--part test] [--columns clean "four bounds, closed:1.58" ...] FILE ...

Each FILE is called OBJECTIVE-SETTING-SEED.txt or OBJECTIVE-SEED.txt and holds the output of one run. Those that
differ by the seed alone make a row: per cent, mean ± standard deviation (n - 1). A column is "clean", or a line of
that output and one of its radii. In each column and for each objective, the setting with the largest mean on the
*held-out* images is in bold, whichever --part is printed: test images choose nothing. A * says that it is the
first or the last of its settings, so that a better one may lie beyond.
"""

import argparse
import pathlib
import re
import statistics
import sys

COLUMNS = ["clean"] + [f"{line}:{e}" for line in ("four bounds, closed", "exact m, tangent") for e in ("0.5", "1.58")]


def read(path: pathlib.Path) -> dict[str, dict[str, float]]:
    """The percentages of each part, by name of the column."""
    try:
        content = path.read_text()
        if not content.endswith("\n"):
            raise ValueError("its last line is not whole")
        return table_of(content)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {path}: not the output of a run ({error})")


def table_of(content: str) -> dict[str, dict[str, float]]:
    parts, radii = {}, []
    for line in content.splitlines():
        if line.startswith("ESTIMATED accuracy"):
            radii = line.rpartition(" at eps ")[2].split(", ")
        elif head := re.fullmatch(r"(\w+): \d+ images, clean (\S+) %", line):
            values = parts[head[1]] = {"clean": float(head[2])}
        elif parts and (row := re.fullmatch(r"  (\S.*?)((?: +[\d.]+)+)", line)):
            values |= {f"{row[1]}:{e}": float(v) for e, v in zip(radii, row[2].split(), strict=True)}
    return parts


def natural(row: str) -> list:
    """What rows are sorted by: words as text, numbers by value."""
    return [float(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d+(?:\.\d+)?)", row))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=pathlib.Path, nargs="+", metavar="FILE")
    parser.add_argument("--part", choices=["validation", "test"], default="test", help="(default %(default)s)")
    parser.add_argument("--columns", nargs="+", default=COLUMNS, help="(default " + " ".join(f'"{c}"' for c in COLUMNS) + ")")
    args = parser.parse_args()
    rows = {}
    for path in args.files:
        rows.setdefault(path.stem.rpartition("-")[0] or path.stem, []).append((path, read(path)))

    def values(row, part, column):
        for path, parts in rows[row]:
            if column not in (known := parts.get(part, {})):
                sys.exit(f'error: {path}: no "{column}" of {part} images; there are {", ".join(known) or "none"}')
        return [parts[part][column] for _, parts in rows[row]]

    lines = [f"| ESTIMATES, % | seeds | {' | '.join(args.columns)} |", f"|---|---|{'---|' * len(args.columns)}"]
    for row in sorted(rows, key=natural):
        settings = [r for r in sorted(rows, key=natural) if r.partition("-")[0] == row.partition("-")[0]]
        cells = []
        for column in args.columns:
            some = values(row, args.part, column)
            text = f"{statistics.mean(some):.2f}" + (f" ± {statistics.stdev(some):.2f}" if len(some) > 1 else "")
            if len(settings) > 1 and row == max(settings, key=lambda r: statistics.mean(values(r, "validation", column))):
                text = f"**{text}**" + (r"\*" if row in (settings[0], settings[-1]) else "")
            cells.append(text)
        lines.append(f"| {row.replace('-', ' ')} | {len(rows[row])} | {' | '.join(cells)} |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
