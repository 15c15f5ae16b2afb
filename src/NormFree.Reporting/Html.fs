namespace NormFree.Reporting

open System
open System.Net

/// Pieces of a page.
module internal Html =
    /// Text as HTML shows it; characters that no page may hold become U+FFFD.
    let escape (text: string) =
        text
        |> String.map (fun c ->
            if (Char.IsControl c && c <> '\n' && c <> '\t') || Char.IsSurrogate c then
                '\uFFFD'
            else
                c)
        |> WebUtility.HtmlEncode
        |> string

    let private row tag cells =
        let cell i text =
            let scope = if tag = "th" then " scope=\"col\"" else ""
            $"<{tag}{scope}>{escape text}</{tag}>"

        "<tr>" + String.concat "" (cells |> List.mapi cell) + "</tr>"

    /// A table that scrolls sideways by itself on a narrow screen.
    let table kind (table: Table) =
        $"""<div class="scroll" tabindex="0"><table class="{kind}"><thead>{row "th" table.Columns}</thead>
<tbody>
{table.Rows |> List.map (row "td") |> String.concat "\n"}
</tbody></table></div>"""

    let private style =
        """
:root { color-scheme: light dark; --ink: #1f2328; --quiet: #5a626b; --grid: #e3e6ea; --paper: #fffffe; --accent: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --quiet: #a3abb5; --grid: #353b43; --paper: #16191d; --accent: #56b4e9; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 82rem; padding: 1.5rem clamp(0.9rem, 4vw, 2.5rem) 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: clamp(1.5rem, 4vw, 2.1rem); line-height: 1.2; margin: 0.5rem 0 1.2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 0.8rem; }
p { max-width: 60rem; }
.verdict { border-left: 0.3rem solid var(--accent); padding: 0.7rem 1rem; font-size: 1.08rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 0.9rem 0.4rem 0; text-align: left; border-bottom: 1px solid var(--grid); white-space: nowrap; vertical-align: top; }
th { color: var(--quiet); font-weight: 600; }
table.numbers td:nth-child(n+3), table.numbers th:nth-child(n+3) { text-align: right; padding: 0.4rem 0 0.4rem 1.1rem; }
table.keys { width: 100%; } table.keys td { white-space: normal; overflow-wrap: anywhere; }
table.keys td:first-child { color: var(--quiet); min-width: 9rem; }
figure { margin: 1rem 0; } figure svg { display: block; width: 100%; height: auto; } figure text { font-family: inherit; }
.narrow { display: none; }
@media (max-width: 42rem) { .wide { display: none; } .narrow { display: block; } }
summary { cursor: pointer; padding: 0.5rem 0; overflow-wrap: anywhere; }
footer { margin-top: 3rem; color: var(--quiet); font-size: 0.88rem; }
"""

    /// A chart, drawn for wide and for narrow screens (the page's style shows one of the two), named for those who do not see it.
    let figure (chart: Chart) =
        $"""<figure role="img" aria-label="{escape chart.Title}">
<div class="wide">{Chart.svg 1100 520 chart}</div>
<div class="narrow">{Chart.svg 480 420 chart}</div>
</figure>"""

    let page title body =
        $"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape title}</title>
<style>{style}</style>
</head>
<body>
<h1>{escape title}</h1>
{String.concat "\n" body}
</body>
</html>
"""
