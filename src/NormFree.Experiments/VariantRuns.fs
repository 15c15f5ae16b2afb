namespace NormFree.Experiments

open System
open System.IO
open System.Threading.Tasks
open NormFree.Reporting
open NormFree.Runs
open NormFree.Training
open NormFree.Torch.Native
open TorchSharp

/// <summary>Trains a few variants in parallel, without a sweep's seeds, keys and limits.</summary>
[<RequireQualifiedAccess>]
module VariantRuns =

    let private interval = TimeSpan.FromSeconds 10.0

    let private trainOne folder images (variant: Variant) =
        TorchNative.Ensure()
        // One processor per run. torch keeps this setting for each thread.
        torch.set_num_threads 1

        let first =
            Pipeline.from images
            |> Pipeline.into (Path.Combine(folder, variant.Label))
            |> Pipeline.onEvent (EventText.lines $"{variant.Label, -10}  " interval)
            |> Pipeline.train variant.Stage1 variant.Net

        match variant.Stage2 with
        | None -> Pipeline.finish first
        | Some recipe -> first |> Pipeline.binariseWeights recipe |> Pipeline.finish

    /// <summary>Deletes the folder, then trains every variant in a subfolder of its label, and prints progress. Logs keep the order of the
    /// variants.</summary>
    let trainFromScratch folder images (variants: Variant list) : RunLog list =
        if Directory.Exists folder then
            Directory.Delete(folder, true)

        let logs = Array.zeroCreate variants.Length
        let options = ParallelOptions(MaxDegreeOfParallelism = 2 * Environment.ProcessorCount)

        let train = Action<int * Variant>(fun (i, variant) -> logs[i] <- trainOne folder images variant)
        Parallel.ForEach(List.indexed variants, options, train) |> ignore

        List.ofArray logs

    /// <summary>Writes <c>report.html</c> and <c>report.md</c> into the runs' folder, and prints the results.</summary>
    let report folder title deployment (logs: RunLog list) =
        let runs =
            ReportedRun.ofFolders deployment [ for log in logs -> { Path = Path.Combine(folder, log.Name) } ]

        Report.write $"{folder}/report.html" title runs
        Report.writeMarkdown $"{folder}/report.md" title runs
        Console.WriteLine $"\n{Report.text logs}\n\nPlot: {folder}/report.png    Report: {folder}/report.html"
