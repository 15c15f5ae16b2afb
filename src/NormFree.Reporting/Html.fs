namespace NormFree.Reporting

open System
open System.IO
open System.Net
open System.Reflection

/// A report as one page that needs no network and no script; it is well-formed XML, too.
module internal Html =

    let private style =
        lazy
            (match Assembly.GetExecutingAssembly().GetManifestResourceStream "Page.css" with
             | null -> invalidOp "Page.css is not embedded: build NormFree.Reporting again."
             | stream ->
                 use reader = new StreamReader(stream)
                 reader.ReadToEnd())

    /// Text as HTML shows it; characters that no page may hold become U+FFFD.
    let private escape (text: string) =
        text
        |> String.map (fun c ->
            if (Char.IsControl c && c <> '\n' && c <> '\t') || Char.IsSurrogate c || c >= '\uFFFE' then
                '\uFFFD'
            else
                c)
        |> WebUtility.HtmlEncode
        |> string

    /// The same, where a line may break: a number stays with its sign.
    let private prose (text: string) = escape (text.Replace(" %", "\u00a0%"))

    let private lines parts = String.concat "\n" parts

    /// A wide thing that scrolls sideways by itself on a narrow screen, also by the keyboard.
    let private scrolling content = $"<div class=\"scroll\" tabindex=\"0\">{content}</div>"

    let private kind layout column =
        match layout with
        | NumbersAfter names when column >= names -> " class=\"number\""
        | NumbersAfter _
        | KeysAndValues -> ""

    let private row layout tag scope cells =
        let cell i text = $"<{tag}{scope}{kind layout i}>{escape text}</{tag}>"
        "<tr>" + String.concat "" (List.mapi cell cells) + "</tr>"

    let private table layout (table: Table) =
        let name = if layout = KeysAndValues then " class=\"keys\"" else ""
        let head = row layout "th" " scope=\"col\"" table.Columns
        let body = table.Rows |> List.map (row layout "td" "") |> lines
        scrolling $"<table{name}><thead>{head}</thead>\n<tbody>\n{body}\n</tbody></table>"

    let private facts (facts: Fact list) =
        let fact (f: Fact) =
            $"<div><dt>{escape f.Label}</dt><dd class=\"value\">{escape f.Value}</dd><dd class=\"note\">{prose f.Note}</dd></div>"

        $"""<dl class="facts">{facts |> List.map fact |> lines}</dl>"""

    let private picture className width height chart =
        $"<div{className} role=\"img\" aria-label=\"{escape (ChartData.describe chart)}\">{Chart.svg width height chart}</div>"

    /// One chart is drawn for wide and for narrow screens, and the page's style shows one of the two.
    let private drawing (width: int) (figure: Figure) =
        let charts =
            match figure.Charts with
            | [ chart ] -> picture " class=\"wide\"" width 480 chart + picture " class=\"narrow\"" 480 420 chart
            | charts ->
                let all = charts |> List.map (picture "" 430 375) |> lines
                $"<div class=\"multiples\">{all}</div>"

        let caption = $"<strong>{escape figure.Title}.</strong> {prose figure.Caption}"
        $"<figure><figcaption>{caption}</figcaption>\n{charts}</figure>"

    /// How strong a cell's colour is, in percent: text must stay readable on it.
    let private strongest = 50.0

    let private cell (matrix: Matrix) truth mostWrong guess (count: int) =
        let total = matrix.Counts[truth] |> List.sum |> max 1
        let share = float count / float total

        if count = 0 then
            "<td class=\"none\">0</td>"
        elif truth = guess then
            $"<td class=\"right\" style=\"--share:{strongest * share:f0}\">{count}</td>"
        else
            $"<td class=\"wrong\" style=\"--share:{strongest * share / mostWrong:f0}\">{count}</td>"

    /// The highest share of a class that was taken for another one.
    let private mostWrong (matrix: Matrix) =
        [ for truth, counts in List.indexed matrix.Counts do
              for guess, count in List.indexed counts do
                  if guess <> truth then
                      float count / float (max 1 (List.sum counts)) ]
        |> List.fold max 1e-9

    let private confused (matrix: Matrix) =
        let mostWrong = mostWrong matrix

        let heads =
            matrix.Classes |> List.map (fun name -> $"<th scope=\"col\"><span>{escape name}</span></th>")

        let rows =
            List.zip matrix.Classes matrix.Counts
            |> List.mapi (fun truth (name, counts) ->
                let cells = counts |> List.mapi (cell matrix truth mostWrong) |> String.concat ""
                $"<tr><th scope=\"row\">{escape name}</th>{cells}</tr>")

        scrolling
            $"""<table class="matrix"><caption>Rows: the class. Columns: what it was taken for. Outlined cells were recognised; the fuller a colour, the larger the share of the row, and of mistakes the largest share is fullest.</caption>
<thead><tr><td></td>{String.concat "" heads}</tr></thead>
<tbody>
{lines rows}
</tbody></table>"""

    let private examples (gallery: Gallery) =
        let image heading (picture, caption) =
            $"<li><img src=\"data:image/png;base64,{escape picture}\" alt=\"{escape heading}\" />{escape caption}</li>"

        let row (row: Row) =
            let images = row.Pictures |> List.map (image row.Heading) |> lines
            $"<div><h3>{escape row.Heading}</h3><ul>{images}</ul></div>"

        $"""<p>{escape gallery.Caption}</p><div class="gallery">{gallery.Rows |> List.map row |> lines}</div>"""

    let rec private element block =
        match block with
        | Claim text -> $"<p class=\"claim\">{prose text}</p>"
        | Text text -> $"<p>{prose text}</p>"
        | Facts list -> facts list
        | Tabular(layout, content) -> table layout content
        | Drawing figure -> drawing 1100 figure
        | SideBySide figures -> $"""<div class="pair">{figures |> List.map (drawing 640) |> lines}</div>"""
        | Confused matrix -> confused matrix
        | Examples gallery -> examples gallery
        | Command arguments -> $"""<pre><code>{escape ("normfree " + String.Join(' ', arguments))}</code></pre>"""
        | Folded(folding, heading, blocks) ->
            let opened = if folding = Open then " open=\"open\"" else ""
            let content = blocks |> List.map element |> lines
            $"<details{opened}><summary>{escape heading}</summary>\n{content}</details>"

    let private section (section: Section) =
        $"""<section id="{section.Name}" aria-labelledby="{section.Name}-title"><h2 id="{section.Name}-title">{escape section.Title}</h2>
{section.Blocks |> List.map element |> lines}
</section>"""

    let private links (sections: Section list) =
        let link (s: Section) = $"<a href=\"#{s.Name}\">{escape s.Title}</a>"
        $"""<nav aria-label="Sections">{sections |> List.map link |> lines}</nav>"""

    /// The page.
    let page (document: Document) =
        $"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<title>{escape document.Title}</title>
<style>
{style.Value}</style>
</head>
<body>
<header><h1>{escape document.Title}</h1>
{links document.Sections}</header>
<main>
{document.Sections |> List.map section |> lines}
</main>
</body>
</html>
"""
