namespace NormFree.Reporting

open System
open System.Text

/// A report as Markdown with PNG files.
module internal Markdown =

    /// Escapes all markup.
    let private plain (text: string) =
        let escaped = StringBuilder()

        for c in Html.visible text do
            if Char.IsControl c then escaped.Append ' '
            elif "\\`*_{}[]<>#|!&~".Contains c then escaped.Append('\\').Append c
            else escaped.Append c
            |> ignore

        escaped.ToString()

    let private unbroken (text: string) = text |> String.map (fun c -> if Char.IsControl c then ' ' else c)

    /// A table. Markup in its cells is escaped.
    let table (table: Table) =
        let row cells = "| " + (cells |> List.map plain |> String.concat " | ") + " |"
        let rule = "|" + String.replicate table.Columns.Length " --- |"
        row table.Columns :: rule :: List.map row table.Rows |> String.concat "\n"

    let private facts (facts: Fact list) : Table =
        { Columns = [ ""; ""; "" ]; Rows = facts |> List.map (fun f -> [ f.Label; f.Value; f.Note ]) }

    let private matrix (matrix: Matrix) : Table =
        { Columns = "class \\ predicted" :: matrix.Classes
          Rows = List.map2 (fun name counts -> name :: List.map string counts) matrix.Classes matrix.Counts }

    /// The accuracy plot has the page's own name.
    let private file (stem: string) (name: string) = if name = "accuracy" then $"{stem}.png" else $"{stem}-{name}.png"

    let private image stem name alt = $"![{plain alt}](<{Uri.EscapeDataString(file stem name)}>)"

    let private drawing stem (figure: Figure) =
        let alt = figure.Charts |> List.map ChartData.describe |> String.concat " "
        [ $"**{plain figure.Title}.** {plain figure.Caption}"; image stem figure.Name alt ]

    let rec private parts stem block =
        match block with
        | Conclusion text -> [ $"**{plain text}**" ]
        | Caution text -> [ $"**Caution:** {plain text}" ]
        | Text text -> [ plain text ]
        | Facts list -> [ table (facts list) ]
        | Tabular(_, content) -> [ table content ]
        | Plotted figure -> drawing stem figure
        | SideBySide figures -> figures |> List.collect (drawing stem)
        | ConfusionTable counts -> [ table (matrix counts) ]
        | Pictures gallery ->
            let alt = gallery.Rows |> List.map _.Heading |> String.concat "; "
            [ plain gallery.Caption; image stem gallery.Name alt ]
        | Command arguments -> [ "```sh\nnormfree " + unbroken (String.Join(' ', arguments)) + "\n```" ]
        | Folded(_, heading, blocks) -> $"### {plain heading}" :: (blocks |> List.collect (parts stem))

    /// The Markdown text. `stem` is the file's name without its extension.
    let text (stem: string) (document: Document) =
        [ $"# {plain document.Title}"
          for section in document.Sections do
              $"## {plain section.Title}"
              yield! section.Blocks |> List.collect (parts stem) ]
        |> String.concat "\n\n"
        |> fun text -> text + "\n"

    let private png (figure: Figure) =
        match figure.Charts with
        | [ chart ] -> Chart.png 1200 700 chart
        | charts -> Chart.grid 2 600 460 charts

    let rec private drawn block =
        match block with
        | Plotted figure -> [ figure.Name, (fun () -> png figure) ]
        | SideBySide figures -> [ for figure in figures -> figure.Name, (fun () -> png figure) ]
        | Pictures gallery -> [ gallery.Name, (fun () -> ContactSheet.png gallery) ]
        | Folded(_, _, blocks) -> List.collect drawn blocks
        | Conclusion _
        | Caution _
        | Text _
        | Facts _
        | Tabular _
        | ConfusionTable _
        | Command _ -> []

    /// Each picture's file name and a function that draws its PNG.
    let pictures (stem: string) (document: Document) =
        document.Sections
        |> List.collect _.Blocks
        |> List.collect drawn
        |> List.map (fun (name, make) -> file stem name, make)
