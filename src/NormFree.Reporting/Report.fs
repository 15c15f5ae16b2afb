namespace NormFree.Reporting

open System
open System.IO
open System.Runtime.InteropServices
open System.Text
open NormFree.Formats
open NormFree.Training

/// <summary>Runs as a page for people.</summary>
/// <example><code>
/// runs |> Report.write "report.html" "ReActNet-18 on CIFAR-10"
/// runs |> Report.writeMarkdown "results/cifar10.md" "ReActNet-18 on CIFAR-10"
/// </code></example>
module Report =
    /// <summary>Whether bn-free is clearly above its twin without normalisation; None without such two runs.</summary>
    let verdict (runs: RunLog list) = Verdict.ofRuns runs

    let private verdictText runs = verdict runs |> Option.map Verdict.sentence

    let private environment (runs: RunLog list) =
        let common, differing = RunTable.configuration RunTable.isEnvironment runs

        let own =
            [ [ "report"
                $"NormFree {typeof<Chart>.Assembly.GetName().Version}, {RuntimeInformation.FrameworkDescription}" ]
              [ "report's machine"
                $"{RuntimeInformation.OSDescription}, {RuntimeInformation.ProcessArchitecture}" ] ]

        { common with Rows = common.Rows @ own }, differing

    let private section title content =
        match content with
        | [] -> []
        | _ -> $"<h2>{Html.escape title}</h2>" :: content

    let private tables kinds =
        [ for kind, table: Table in kinds do
              if not table.Rows.IsEmpty then
                  Html.table kind table ]

    let private charts (runs: RunLog list) =
        let clips =
            runs |> List.exists (fun run -> run.Epochs |> List.exists (fun epoch -> epoch.Clipped > 0.0))

        [ RunTable.accuracy runs
          RunTable.loss runs
          if clips then
              RunTable.clipped runs ]
        |> List.map Html.figure

    let private epochs (runs: RunLog list) =
        let opened = if runs.Length = 1 then " open" else ""

        let details label (run: RunLog) =
            $"<details{opened}><summary>{Html.escape label}: {run.Epochs.Length} epochs, {Html.escape run.Name}</summary>\n"
            + Html.table "numbers" (RunTable.epochs run)
            + "</details>"

        List.map2 details (RunTable.labels runs) runs

    /// <summary>The page as text: one file that needs no network and no script.</summary>
    let html title runs =
        let common, differing = RunTable.configuration (RunTable.isEnvironment >> not) runs
        let machine, machines = environment runs

        Html.page
            title
            [ for sentence in Option.toList (verdictText runs) do
                  $"<p class=\"verdict\">{Html.escape sentence}</p>"
              if runs.IsEmpty then
                  "<p>There are no runs to report on.</p>"
              else
                  yield! section "Results" [ Html.table "numbers" (RunTable.headline runs) ]
                  yield! section "Curves" (charts runs)
                  yield! section "Epochs" (epochs runs)
              yield! section "What differs between the runs" (tables [ "keys", differing ])
              yield! section "Configuration" (tables [ "keys", common ])
              yield! section "Environment" (tables [ "keys", machine; "keys", machines ]) ]

    let private save (path: string) (text: string) =
        let bytes = UTF8Encoding(false).GetBytes text
        AtomicFile.Write(path, fun stream -> stream.Write(ReadOnlySpan bytes))

    /// <summary>Writes the page, whole or not at all.</summary>
    let write (path: string) (title: string) (runs: RunLog list) = save path (html title runs)

    /// Text in a cell or a heading: nothing of it is markup.
    let private plain (text: string) =
        let escaped = StringBuilder()

        for c in text do
            if Char.IsControl c then escaped.Append ' '
            elif "\\`*_{}[]<>#|!&~".Contains c then escaped.Append('\\').Append c
            else escaped.Append c
            |> ignore

        escaped.ToString()

    /// <summary>A table as Markdown; nothing in its cells is markup.</summary>
    let markdownTable (table: Table) =
        let row cells = "| " + (cells |> List.map plain |> String.concat " | ") + " |"

        let rule = "|" + String.replicate table.Columns.Length " --- |"
        row table.Columns :: rule :: List.map row table.Rows |> String.concat "\n"

    /// <summary>The headline and the verdict as plain text, for a terminal.</summary>
    let text (runs: RunLog list) =
        let table = RunTable.headline runs
        let rows = table.Columns :: table.Rows
        let widths = List.transpose rows |> List.map (List.map String.length >> List.max)
        let line row = List.map2 (fun (cell: string) width -> cell.PadRight width) row widths |> String.concat "  "
        String.concat "\n" (List.map (line >> _.TrimEnd()) rows @ Option.toList (verdictText runs))

    /// The command that made a run; a script's run has none.
    let private command (run: RunLog) =
        match run.Arguments with
        | [] -> []
        | arguments -> [ "```sh\nnormfree train " + String.Join(' ', arguments) + "\n```" ]

    let private configuration runs =
        [ for choose in [ RunTable.isEnvironment >> not; RunTable.isEnvironment ] do
              let common, differing = RunTable.configuration choose runs

              for table in [ differing; common ] do
                  if not table.Rows.IsEmpty then
                      markdownTable table ]

    /// <summary>The same headline, verdict, epochs and configuration as Markdown. <c>image</c> is where the chart of the test accuracy lies,
    /// relative to the Markdown file.</summary>
    let markdown (image: string) (title: string) (runs: RunLog list) =
        String.concat
            "\n\n"
            [ $"# {plain title}"
              yield! verdictText runs |> Option.map plain |> Option.toList
              markdownTable (RunTable.headline runs)
              $"![{plain title}: test accuracy](<{Uri.EscapeDataString image}>)"
              for label, run in List.zip (RunTable.labels runs) runs do
                  $"## {plain label}"
                  yield! command run
                  markdownTable (RunTable.epochs run)
              "## Configuration"
              yield! configuration runs ]
        + "\n"

    /// <summary>Writes the Markdown and, beside it under the same name, the chart of the test accuracy as a PNG.</summary>
    let writeMarkdown (path: string) (title: string) (runs: RunLog list) =
        let image = Path.ChangeExtension(path, ".png") |> string
        Chart.writePng image { RunTable.accuracy runs with Title = title }
        save path (markdown (string (Path.GetFileName image)) title runs)
