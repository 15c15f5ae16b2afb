namespace NormFree.Reporting

open System
open System.Globalization
open System.IO
open System.Net
open System.Reflection
open NormFree.Formats

/// A report as one HTML page without external resources and scripts. It is also well-formed XML.
module internal Html =

    let private style =
        lazy
            (match Assembly.GetExecutingAssembly().GetManifestResourceStream "Page.css" with
             | null -> invalidOp "Page.css is not embedded: build NormFree.Reporting again."
             | stream ->
                 use reader = new StreamReader(stream)
                 reader.ReadToEnd())

    /// Text whose invisible characters are escaped, such as those that reverse the text after them.
    let visible (text: string) =
        let escape (c: char) =
            if Char.GetUnicodeCategory c = UnicodeCategory.Format then
                Printable.Text(string c)
            else
                string c

        String.collect escape text

    /// Escapes text for HTML. Invalid characters become U+FFFD.
    let private escape (text: string) =
        visible text
        |> String.map (fun c ->
            if (Char.IsControl c && c <> '\n' && c <> '\t') || Char.IsSurrogate c || c >= '\uFFFE' then
                '\uFFFD'
            else
                c)
        |> WebUtility.HtmlEncode
        |> string

    /// Escapes text whose lines may break, but not before a percent sign.
    let private prose (text: string) = escape (text.Replace(" %", "\u00a0%"))

    /// Escapes text that may break after a plus sign: activations+weights.
    let private breakable (text: string) = (escape text).Replace("+", "+<wbr />")

    let private lines parts = String.concat "\n" parts

    /// A frame that scrolls horizontally, also by keyboard, if its content is too wide.
    let private scrolling content = $"<div class=\"scroll\" tabindex=\"0\">{content}</div>"

    let private kind layout column =
        match layout with
        | NumbersAfter names when column >= names -> " class=\"number\""
        | NumbersAfter _
        | KeysAndValues -> ""

    let private row layout tag scope cells =
        let cell i text = $"<{tag}{scope}{kind layout i}>{breakable text}</{tag}>"
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

    /// A single chart is drawn twice, for wide and narrow screens. The style sheet shows one of them.
    let private drawing (width: int) (figure: Figure) =
        let charts =
            match figure.Charts with
            | [ chart ] -> picture " class=\"wide\"" width 480 chart + picture " class=\"narrow\"" 430 400 chart
            | charts ->
                let all = charts |> List.map (picture "" 430 375) |> lines
                $"<div class=\"multiples\">{all}</div>"

        let caption = $"<strong>{escape figure.Title}.</strong> {prose figure.Caption}"
        $"<figure><figcaption>{caption}</figcaption>\n{charts}</figure>"

    /// The strongest cell colour in percent. Text stays readable on it.
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

    /// The largest share of a class that was confused with one other class.
    let private mostWrong (matrix: Matrix) =
        [ for truth, counts in List.indexed matrix.Counts do
              for guess, count in List.indexed counts do
                  if guess <> truth then
                      float count / float (max 1 (List.sum counts)) ]
        |> List.fold max 1e-9

    let private confusion (matrix: Matrix) =
        let mostWrong = mostWrong matrix

        let heads =
            matrix.Classes |> List.map (fun name -> $"<th scope=\"col\"><span>{escape name}</span></th>")

        let rows =
            List.zip matrix.Classes matrix.Counts
            |> List.mapi (fun truth (name, counts) ->
                let cells = counts |> List.mapi (cell matrix truth mostWrong) |> String.concat ""
                $"<tr><th scope=\"row\">{escape name}</th>{cells}</tr>")

        scrolling
            $"""<table class="matrix"><caption>Rows: true class. Columns: predicted class. Outlined cells are correct. Stronger colour means a larger share of the row; mistakes are scaled to the largest one.</caption>
<thead><tr><td></td>{String.concat "" heads}</tr></thead>
<tbody>
{lines rows}
</tbody></table>"""

    let private pictures (gallery: Gallery) =
        let image heading (picture, caption) =
            $"<li><img src=\"data:image/png;base64,{escape picture}\" alt=\"{escape heading}\" />{escape caption}</li>"

        let row (row: Row) =
            let images = row.Pictures |> List.map (image row.Heading) |> lines
            $"<div><h3>{escape row.Heading}</h3><ul>{images}</ul></div>"

        $"""<p>{escape gallery.Caption}</p><div class="gallery">{gallery.Rows |> List.map row |> lines}</div>"""

    let rec private element block =
        match block with
        | Conclusion text -> $"<p class=\"claim\">{prose text}</p>"
        | Caution text -> $"<p class=\"caution\"><strong>Caution:</strong> {prose text}</p>"
        | Text text -> $"<p>{prose text}</p>"
        | Facts list -> facts list
        | Tabular(layout, content) -> table layout content
        | Plotted figure -> drawing 1100 figure
        | SideBySide figures -> $"""<div class="pair">{figures |> List.map (drawing 640) |> lines}</div>"""
        | ConfusionTable matrix -> confusion matrix
        | Pictures gallery -> pictures gallery
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
