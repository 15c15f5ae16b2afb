namespace NormFree.Cli

open System.IO
open System.Threading
open NormFree.Reporting
open NormFree.Runs
open NormFree.Benchmarks

/// <summary><c>normfree report</c>.</summary>
[<RequireQualifiedAccess>]
module internal ReportCommand =

    /// A heading of more runs has their number.
    let private maxNamed = 3

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) (cancellation: CancellationToken) =
        let path = args.Get Options.Files.file

        let write =
            match Path.GetExtension path with
            | ".html" -> Report.write
            | ".md" -> Report.writeMarkdown
            | other -> raise (UsageException $"--out must end in .html or .md, not '{other}'.")

        let speed = if args.Has Options.Files.noSpeed then SkipSpeed else MeasureSpeed
        let folders = [ for path in args.Operands -> { RunFolder.Path = path } ]
        let runs = ReportedRun.ofFolders (RunDeployment.measuring speed) folders
        cancellation.ThrowIfCancellationRequested()

        let title =
            args.TryGet Options.Files.title
            |> Option.defaultWith (fun () ->
                if runs.Length > maxNamed then
                    $"NormFree: {runs.Length} runs"
                else
                    "NormFree: " + (runs |> List.map _.Log.Name |> String.concat ", "))

        write path title runs
        Output.line path
