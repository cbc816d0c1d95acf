"""Draws the curve of a training log as a small SVG, to be put into a page."""

import argparse
import csv
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 520, 220, 40, 12, 110, 28
COLOURS = ("#2563eb", "#dc2626", "#059669", "#a16207")


def draw(rows: list[dict[str, str]], columns: list[str], top: float) -> str:
    steps = [int(r["step"]) for r in rows]
    last = max(steps)

    def x(step: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * step / last, 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value, top) / top, 1)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11" fill="#444">',
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#999"/>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{last} steps</text>',
    ]
    for k in range(5):
        value = top * k / 4
        out.append(f'<text x="{LEFT - 5}" y="{y(value) + 4}" text-anchor="end">{value:.2f}</text>')
    for name, colour in zip(columns, COLOURS, strict=False):
        points = " ".join(f"{x(s)},{y(float(r[name]))}" for s, r in zip(steps, rows, strict=True))
        end = float(rows[-1][name])
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 6}" y="{y(end) + 4}" fill="{colour}">{name} {end:.3f}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("log", type=Path, help="log.csv of a run")
    a.add_argument("columns", nargs="+", help="its columns to draw")
    a.add_argument("--top", type=float, default=1.5, help="the value at the upper edge")
    a.add_argument("--out", type=Path, required=True)
    o = a.parse_args()
    with o.log.open() as f:
        rows = list(csv.DictReader(f))
    o.out.write_text(draw(rows, o.columns, o.top))


if __name__ == "__main__":
    main()
