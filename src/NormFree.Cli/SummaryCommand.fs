namespace NormFree.Cli

open System.Threading
open NormFree.Inference.Files
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open TorchSharp

/// <summary><c>normfree summary</c>.</summary>
[<RequireQualifiedAccess>]
module internal SummaryCommand =

    let private described (args: Arguments) =
        let pixels = args.Get Options.Data.size

        NetworkOptions.described args Options.Network.arch pixels (args.Get Options.Network.classes)
        |> Net.withBinarise (args.Get Options.Network.binarise),
        pixels

    /// A checkpoint has its own network; only the image size may differ.
    let private requireAlone (args: Arguments) =
        match
            args.Given
            |> List.filter (fun (name, _) ->
                not (List.contains name [ "--checkpoint"; "--size"; "--engine"; "--json" ]))
        with
        | [] -> ()
        | others ->
            let words = [ for name, value in others -> $"{name} {value}" ] |> String.concat ", "
            raise (UsageException $"--checkpoint has its own network: omit {words}.")

    /// The spec that packing has noted, and the image size.
    let private ofPacked path =
        let model = PackedFile.Read path

        match model.Notes.TryGetValue "spec" with
        | true, spec when spec.Length > Limits.specLength ->
            raise (
                TrainingException
                    $"{path}: its spec has {spec.Length} characters; the limit is {Limits.specLength}. Give its checkpoint."
            )
        | true, spec ->
            match Json.read<NetSpec> spec with
            | Ok net -> net, model.Height
            | Error problem ->
                raise (TrainingException $"{path}: its spec cannot be read: {problem}. Give its checkpoint.")
        | _ -> raise (TrainingException $"{path} has no spec of its network. Give its checkpoint.")

    let private ofFile path =
        NetworkFile.require path

        if PackedFile.IsPacked path then
            ofPacked path
        else
            use checkpoint = Checkpoint.load torch.ScalarType.Float32 path
            checkpoint.Network.Spec, checkpoint.ImageTask.Size

    let private network (args: Arguments) =
        match args.TryGet Options.Files.checkpoint with
        | Some text ->
            requireAlone args
            let net, size = ofFile (ZooFile.packed text)
            net, args.TryGet Options.Data.size |> Option.defaultValue size
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

    /// How the fused engine runs the binary layers of each block.
    let private executions (net: NetSpec) =
        dict
            [ for name, graph in Lowering.parts net ->
                  name,
                  Graph.layers graph
                  |> List.map (LayerExecution.ofLayer >> LayerExecution.describe)
                  |> List.distinct
                  |> String.concat "; " ]

    let private printExecutions engine (net: NetSpec) =
        Output.line ""

        match engine with
        | Composite -> Output.prose "The composite engine runs every layer by torch operations."
        | Fused ->
            Show.table
                [ "block"; "fused engine" ]
                [ for KeyValue(name, execution) in executions net ->
                      [ name; (if execution = "" then "torch operations" else execution) ] ]

    let private row (layer: LayerSummary) =
        let operands =
            match layer.Operands with
            | Some(activation, weight) -> $"{bits activation}×{bits weight}"
            | None -> "32×32"

        cells layer.Name (string layer.Output) operands layer.Cost

    /// The size after stage 2, or why there is no packed file.
    let private packedSize (summary: Summary) =
        match PackedStep.tryOfNet (Net.withBinarise ActivationsAndWeights summary.Net) with
        | Ok _ -> $"{float summary.Total.PackedBytes / 1e6:F3} MB"
        | Error why -> $"none: {why}"

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
        Output.prose $"{summary.Net.Name}, {pixels}×{pixels} images, {summary.Net.Classes} classes"
        Output.prose $"parameters            {total.Parameters:N0}, {total.BinaryParameters:N0} of them 1 bit"

        Output.prose
            $"memory                {float total.MemoryBytes / 1048576.0:F3} MiB; as floats {floats / 1048576.0:F2} MiB ({floats / float total.MemoryBytes:F1} times)"

        Output.prose $"predicted packed size {packedSize summary}"

        Output.prose
            $"MACs                  {total.BinaryMacs:N0} 1-bit×1-bit, {total.MixedMacs:N0} real×1-bit, {total.RealMacs:N0} real"

        Output.prose $"OPs                   {Show.short (float total.Ops)} (real and mixed MACs + 1-bit MACs / 64)"

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) (_: CancellationToken) =
        let net, pixels = network args

        match Summary.create pixels pixels net with
        | Ok summary when args.Has Options.Files.json -> Output.json (Json.write summary)
        | Ok summary ->
            print summary pixels
            args.TryGet Options.Execution.engine |> Option.iter (fun engine -> printExecutions engine net)
        | Error errors -> raise (TrainingException(errors |> List.map string |> String.concat "\n"))
