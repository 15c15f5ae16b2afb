namespace NormFree.Cli

open System
open System.IO
open Argu
open NormFree.Reporting
open NormFree.Runs
open NormFree.Training
open NormFree.Benchmarks

/// <summary><c>normfree report</c>.</summary>
[<RequireQualifiedAccess>]
module ReportCommand =

    /// <summary>Runs the command.</summary>
    let run (args: ParseResults<ReportArgs>) =
        let path = args.GetResult ReportArgs.Out

        let write =
            match Path.GetExtension path with
            | ".html" -> Report.write
            | ".md" -> Report.writeMarkdown
            | other -> raise (UsageException $"--out ends in .html or .md, not '{other}'.")

        let speed = if args.Contains No_Speed then LeaveSpeedOut else MeasureSpeed
        let runs = args.GetResult Runs |> List.map (fun path -> { Path = path }) |> ReportedRun.ofFolders (RunDeployment.measuring speed)
        let title = args.GetResult(Title, "NormFree: " + (runs |> List.map _.Log.Name |> String.concat ", "))
        write path title runs
        Console.WriteLine path
