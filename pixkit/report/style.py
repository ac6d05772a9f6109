"""The appearance of the page: on paper, on light and on dark screens."""

from __future__ import annotations

import base64
import hashlib

LIGHT = ("#0072b2", "#c44e00", "#007a5a", "#a8437f", "#2a7fb8", "#9a6a00", "#555555", "#6a3fb5", "#8c2d19", "#3f6b1f")
DARK = ("#5db7f0", "#ff9a52", "#3fd2a5", "#f09ccb", "#a6dcff", "#f2c14e", "#bbbbbb", "#b99cff", "#ff8a75", "#a4d673")
"""Colours of runs, after Okabe and Ito (2008): distinguishable for colour-blind people, and with a contrast of 4.5 to
their background, as text requires."""
COLOURS = len(LIGHT)

_INK = "--ink:#1b1b1b;--soft:#565656;--paper:#ffffff;--line:#d9d9d9;--shade:#f4f4f4;--link:#00538a;--own:#7a3e00;"
_PALE = "--ink:#e8e8e8;--soft:#b0b0b0;--paper:#16181b;--line:#3c4046;--shade:#22262b;--link:#7cc4ff;--own:#ffc27a;"


def _colours(values: tuple[str, ...]) -> str:
    return "".join(f"--c{number}:{value};" for number, value in enumerate(values, 1))


_RUNS = "".join(f".c{number}{{stroke:var(--c{number});color:var(--c{number})}}" for number in range(1, COLOURS + 1))

STYLE = f"""
:root{{color-scheme:light dark;{_INK}{_colours(LIGHT)}}}
@media screen and (prefers-color-scheme:dark){{:root{{{_PALE}{_colours(DARK)}}}}}
*{{box-sizing:border-box}}
body{{margin:0 auto;max-width:64rem;padding:1.5rem 1rem 4rem;color:var(--ink);background:var(--paper);
font:16px/1.5 system-ui,sans-serif}}
h1{{font-size:1.7rem;line-height:1.25;margin:0 0 .5rem;overflow-wrap:anywhere}}
h2{{font-size:1.25rem;margin:2.5rem 0 .75rem;padding-top:.75rem;border-top:1px solid var(--line)}}
h3{{font-size:1rem;margin:1.5rem 0 .5rem;overflow-wrap:anywhere}}
p{{margin:.5rem 0;max-width:46rem}}
a{{color:var(--link)}}
nav ul{{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;margin:1rem 0 0;list-style:none}}
.soft,figcaption,caption{{color:var(--soft);font-size:.875rem}}
.note{{border-left:4px solid var(--own);background:var(--shade);padding:.5rem .75rem}}
.wide{{overflow-x:auto;margin:.75rem 0}}
table{{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}}
caption{{text-align:left;padding:.25rem 0}}
th,td{{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line)}}
tbody th{{font-weight:600;overflow-wrap:break-word;min-width:6rem;max-width:20rem}}
td{{overflow-wrap:break-word;min-width:4rem;max-width:24rem}}
td.own{{color:var(--own)}}
code,pre{{font:.8125rem/1.45 ui-monospace,monospace}}
pre{{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--shade);padding:.75rem;margin:.5rem 0}}
summary{{cursor:pointer;margin:.5rem 0}}
figure{{margin:1rem 0}}
svg{{display:block;max-width:100%;height:auto}}
svg text{{fill:var(--ink);font:12px system-ui,sans-serif;stroke:none}}
svg text.soft{{fill:var(--soft)}}
svg text.cell{{font-size:.4px}}
svg text.on-dark{{fill:#fff}}
svg text.on-bright{{fill:#111}}
svg text.end{{fill:currentColor;stroke:none;font-weight:600}}
svg.chart{{min-width:42rem}}
svg .axis{{stroke:var(--soft);fill:none}}
svg .grid{{stroke:var(--line);fill:none}}
svg .again{{stroke:var(--soft);fill:none;stroke-dasharray:2 3}}
svg .raw{{fill:none;stroke-width:1;opacity:.32}}
svg .smooth{{fill:none;stroke-width:1.8;stroke-linejoin:round}}
svg .scored{{fill:none;stroke-width:1;stroke-dasharray:5 3}}
svg .dot{{fill:var(--paper);stroke-width:1.8}}
svg .lost{{fill:none;stroke-width:1.5}}
svg .far{{stroke-dasharray:7 2}}
svg.swatch{{display:inline-block;width:2.4em;height:.9em;vertical-align:middle;margin-right:.4em}}
{_RUNS}
.strip{{display:flex;flex-wrap:wrap;gap:1rem;margin:.5rem 0}}
.strip figure{{margin:0}}
.strip img{{display:block;image-rendering:pixelated;max-width:100%;height:auto;border:1px solid var(--line)}}
.fields{{display:flex;flex-wrap:wrap;gap:1.5rem}}
.fields figure{{margin:.5rem 0;max-width:22rem}}
.fields svg{{border:1px solid var(--line)}}
.fields svg image{{image-rendering:pixelated}}
.key{{display:inline-block;width:.9em;height:.9em;vertical-align:-.1em;margin-right:.35em}}
.keys span{{margin-right:1em;white-space:nowrap}}
@media print{{
body{{max-width:none;padding:0;font-size:10pt}}
h2,h3{{break-after:avoid}}
figure,tr,.note{{break-inside:avoid}}
nav{{display:none}}
.wide{{overflow:visible}}
svg.chart{{min-width:0}}
table{{font-size:7.5pt}}
td,th{{min-width:0;padding-right:.4rem}}
pre{{font-size:7pt;background:none;border:1px solid var(--line)}}
details::details-content{{display:block;content-visibility:visible;height:auto}}
}}
"""


def policy() -> str:
    """The page's content security policy: only its embedded pictures and this style are loaded."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
