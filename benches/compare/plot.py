"""The figures as bars, in SVG written by hand."""

from statistics import median
from xml.sax.saxutils import escape

# part, key, title, how a value is printed
PANELS = [
    ("guarded", "cpu_us", "guarded PUT: CPU µs a request", "{:.1f}"),
    ("plain", "cpu_us", "small GET: CPU µs a request", "{:.1f}"),
    ("rate", "p99_us", "guarded at a constant rate: p99 µs", "{:,.0f}"),
    ("memory", "held_pss", "PSS MiB with 1,000 idle connections", "{:.1f}"),
    ("bulk", "down_ms", "1 GiB down: CPU ms", "{:,.0f}"),
    ("bulk", "up_ms", "1 GiB up: CPU ms", "{:,.0f}"),
]
COLOURS = {"gate": "#1b6ca8"}
OTHER = "#9aa5b1"
WIDTH, BAR, GAP, LABEL, TOP = 420, 22, 8, 76, 40


def draw(results):
    """Returns the picture: two columns of panels; each bar is a median, its whisker reaches from least to most."""
    panels = [panel for panel in PANELS if any(results.get(panel[0], {}).values())]
    heights = [TOP + len(results[part]) * (BAR + GAP) + 16 for part, *_ in panels]
    tall = max(heights, default=0)
    rows = (len(panels) + 1) // 2
    total_width, total_height = 2 * WIDTH + 20, rows * tall + 30
    drawn = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total_width} {total_height}" '
             f'width="{total_width}" height="{total_height}" font-family="sans-serif" font-size="13">',
             '<rect width="100%" height="100%" fill="#ffffff"/>']
    for place, panel in enumerate(panels):
        x, y = 10 + (place % 2) * WIDTH, 10 + (place // 2) * tall
        drawn.append(f'<g transform="translate({x},{y})">{one(panel, results[panel[0]])}</g>')
    drawn.append(f'<text x="10" y="{total_height - 8}" fill="#555" font-size="11">less is better; bars are medians, '
                 "whiskers the lowest and the highest round</text></svg>")
    return "\n".join(drawn) + "\n"


def one(panel, rounds):
    _, key, title, form = panel
    values = {name: [result[key] for result in results] for name, results in rounds.items() if results}
    most = max(max(found) for found in values.values()) or 1
    room = WIDTH - LABEL - 80
    text = [f'<text x="0" y="20" font-weight="bold">{escape(title)}</text>']
    for place, (name, found) in enumerate(values.items()):
        y = TOP + place * (BAR + GAP)
        middle = median(found)
        width = room * middle / most
        low, high = (LABEL + room * bound / most for bound in (min(found), max(found)))
        text += [
            f'<text x="{LABEL - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{COLOURS.get(name, OTHER)}"/>',
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + BAR / 2}" y2="{y + BAR / 2}" stroke="#333"/>',
            f'<text x="{max(LABEL + width, high) + 6:.1f}" y="{y + 16}">{form.format(middle)}</text>',
        ]
    return "".join(text)
