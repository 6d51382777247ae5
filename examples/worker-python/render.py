"""Draws a bar chart as a PNG picture, with nothing but Python's standard library.

Started once for each task. Payload: {"title": "...", "colour": "#3366cc"}; input: values.csv, lines of "label,number".
Output: chart.png, and result.json with the size of the picture.
"""

import csv
import json
import os
import struct
import sys
import zlib

WIDTH, HEIGHT, MARGIN = 640, 360, 20
BACKGROUND = (255, 255, 255)

DATA_ERROR = 65  # EX_DATAERR: trying again would not help


def main():
    with open(os.environ["SLIPWAY_PAYLOAD"]) as file:
        payload = json.load(file)
    try:
        colour = parse_colour(payload.get("colour", "#3366cc"))
        values = read_values(os.path.join(os.environ["SLIPWAY_INPUT"], "values.csv"))
    except (ValueError, OSError) as error:
        print(f"this can't be drawn: {error}", file=sys.stderr)
        sys.exit(DATA_ERROR)
    rows = draw(values, colour)
    output = os.environ["SLIPWAY_OUTPUT"]
    with open(os.path.join(output, "chart.png"), "wb") as file:
        file.write(png(rows))
    with open(os.path.join(output, "result.json"), "w") as file:
        json.dump({"title": payload.get("title"), "bars": len(values), "width": WIDTH, "height": HEIGHT}, file)


def parse_colour(text):
    if len(text) != 7 or text[0] != "#":
        raise ValueError(f"{text!r} isn't a colour such as #3366cc")
    return tuple(int(text[at : at + 2], 16) for at in (1, 3, 5))


def read_values(path):
    with open(path, newline="") as file:
        values = [float(row[1]) for row in csv.reader(file) if len(row) > 1]
    if not values or min(values) < 0 or max(values) == 0:
        raise ValueError("values.csv needs lines such as: apples,12")
    return values


def draw(values, colour):
    """Rows of pixels, from the top; tells its progress a row at a time."""
    slot = (WIDTH - 2 * MARGIN) / len(values)
    tops = [HEIGHT - MARGIN - value / max(values) * (HEIGHT - 2 * MARGIN) for value in values]
    rows = []
    for y in range(HEIGHT):
        row = bytearray()
        for x in range(WIDTH):
            at, inside = divmod(x - MARGIN, slot)
            in_bar = 0 <= at < len(values) and inside < slot * 0.8 and tops[int(at)] <= y < HEIGHT - MARGIN
            row += bytes(colour if in_bar else BACKGROUND)
        rows.append(bytes(row))
        if y % 60 == 0:
            tell(y / HEIGHT)
    return rows


def tell(share):
    with open(os.environ["SLIPWAY_PROGRESS"], "a") as file:
        file.write(f"{share}\n")


def png(rows):
    """The PNG format: https://www.w3.org/TR/png-3/"""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


if __name__ == "__main__":
    main()
