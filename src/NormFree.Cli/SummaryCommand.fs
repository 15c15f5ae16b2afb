namespace NormFree.Cli

open System
open Argu
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open TorchSharp

/// <summary><c>normfree summary</c>.</summary>
[<RequireQualifiedAccess>]
module SummaryCommand =

    let private described (args: ParseResults<SummaryArgs>) =
        let size =
            { Width = Choices.factor "--width" (args.GetResult(SummaryArgs.Width, 1.0))
              Depth = Choices.factor "--depth" (args.GetResult(SummaryArgs.Depth, 1.0)) }

        let pixels = Choices.side "--size" (args.GetResult(SummaryArgs.Size, 224))
        let table = Choices.architecture (args.GetResult(SummaryArgs.Arch, "reactnet-18"))

        let net =
            table size (TrainCommand.stem (args.TryGetResult SummaryArgs.Stem) pixels)
            |> Net.withClasses (Choices.within 2 10_000_000 "--classes" (args.GetResult(SummaryArgs.Classes, 1000)))
            |> TrainCommand.requireBinary
                [ "--norm", args.Contains SummaryArgs.Norm; "--binarise", args.Contains SummaryArgs.Binarise ]
            |> Net.withNorm (Choices.norm (args.GetResult(SummaryArgs.Norm, "bn-free")))
            |> Net.withBinarise (
                Choices.binarise (args.GetResult(SummaryArgs.Binarise, Names.binarise ActivationsAndWeights))
            )

        net, pixels

    /// A checkpoint brings its network; only the size of its images may be another.
    let private requireAlone (args: ParseResults<SummaryArgs>) =
        let describes argument =
            match argument with
            | SummaryArgs.Checkpoint _
            | SummaryArgs.Size _
            | SummaryArgs.Json -> false
            | _ -> true

        match args.GetAllResults() |> List.filter describes with
        | [] -> ()
        | others ->
            let names = args.Parser.PrintCommandLineArgumentsFlat others
            raise (UsageException $"--checkpoint brings its own network: leave away {names}.")

    let private network (args: ParseResults<SummaryArgs>) =
        match args.TryGetResult SummaryArgs.Checkpoint with
        | Some path ->
            requireAlone args
            use checkpoint = Checkpoint.load torch.ScalarType.Float32 path
            checkpoint.Network.Spec, Choices.side "--size" (args.GetResult(SummaryArgs.Size, checkpoint.ImageTask.Size))
        | None -> described args

    let private bits precision =
        match precision with
        | OneBit -> "1"
        | Real -> "32"

    let private count (n: int64) = if n = 0L then "-" else Show.short (float n)

    let private cells name (output: string) operands (cost: Cost) =
        [ name
          output
          operands
          count cost.BinaryParameters
          count cost.RealParameters
          count cost.BinaryMacs
          count cost.MixedMacs
          count cost.RealMacs
          $"{float cost.MemoryBytes / 1024.0:F1}" ]

    let private row (layer: LayerSummary) =
        let operands =
            match layer.Operands with
            | Some(activation, weight) -> $"{bits activation}×{bits weight}"
            | None -> "32×32"

        cells layer.Name (string layer.Output) operands layer.Cost

    let private print (summary: Summary) pixels =
        let total = summary.Total

        Show.table
            [ "layer"
              "output"
              "bits"
              "1-bit params"
              "real params"
              "1×1-bit MACs"
              "real×1-bit"
              "real MACs"
              "KiB" ]
            ((summary.Layers |> List.map row) @ [ cells "total" "" "" total ])

        let floats = 4.0 * float total.Parameters
        Console.WriteLine $"{summary.Net.Name}, {pixels}×{pixels} images, {summary.Net.Classes} classes"
        Console.WriteLine $"parameters            {total.Parameters:N0}, of which {total.BinaryParameters:N0} are 1 bit"

        Console.WriteLine
            $"memory                {float total.MemoryBytes / 1048576.0:F3} MiB; as floats {floats / 1048576.0:F2} MiB ({floats / float total.MemoryBytes:F1} times)"

        Console.WriteLine $"predicted packed size {float total.PackedBytes / 1e6:F3} MB"

        Console.WriteLine
            $"MACs                  {total.BinaryMacs:N0} 1-bit×1-bit, {total.MixedMacs:N0} real×1-bit, {total.RealMacs:N0} real"

        Console.WriteLine $"OPs                   {total.Ops:E3} (real and mixed MACs + 1-bit MACs / 64)"

    /// <summary>Runs the command.</summary>
    let run (args: ParseResults<SummaryArgs>) =
        let net, pixels = network args

        match Summary.create pixels pixels net with
        | Ok summary when args.Contains SummaryArgs.Json -> Console.WriteLine(Json.write summary)
        | Ok summary -> print summary pixels
        | Error errors -> raise (TrainingException(errors |> List.map string |> String.concat "\n"))
