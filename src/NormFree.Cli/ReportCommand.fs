namespace NormFree.Cli

open System
open System.IO
open Argu
open NormFree.Reporting
open NormFree.Training

/// <summary><c>normfree report</c>.</summary>
[<RequireQualifiedAccess>]
module ReportCommand =

    /// <summary>Runs the command.</summary>
    let run (args: ParseResults<ReportArgs>) =
        let runs = args.GetResult Runs |> List.map (fun path -> RunFolder.readRun { Path = path })
        let title = args.GetResult(Title, "NormFree: " + (runs |> List.map _.Name |> String.concat ", "))
        let path = args.GetResult ReportArgs.Out

        match Path.GetExtension path with
        | ".html" -> Report.write path title runs
        | ".md" -> Report.writeMarkdown path title runs
        | other -> raise (UsageException $"--out ends in .html or .md, not '{other}'.")

        Console.WriteLine path
