namespace NormFree.Cli

open System.Threading
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks

/// <summary><c>normfree bench kernels</c>.</summary>
[<RequireQualifiedAccess>]
module internal BenchKernelsCommand =

    /// The text with keyboard spellings replaced, in lower case: x for ×, -> for →, ^2 for ².
    let private typed (text: string) = text.ToLowerInvariant().Replace("x", "×").Replace("->", "→").Replace("^2", "²")

    let private layers (args: Arguments) =
        let words = args.TryGet Options.Measurement.only |> Option.defaultValue ""
        let isChosen (layer: KernelLayer) = (typed $"{layer.Network} {layer.Name}").Contains(typed words)

        match List.filter isChosen KernelLayers.all with
        | [] ->
            let known = KernelLayers.all |> List.map _.Name |> List.truncate 3 |> String.concat ", "
            raise (UsageException $"--only: no layer name contains '{words}'; there are {known} …")
        | found -> found

    let private rooflines (rooflines: KernelRoofline list) =
        Show.table
            [ "instruction set"; "GMAC/s in registers"; "L1, GB/s"; "L2, GB/s"; "memory, GB/s"; "operations" ]
            [ for roofline in rooflines ->
                  [ roofline.InstructionSet
                    $"{roofline.GmacsPerSecond:F0}"
                    $"{roofline.L1GbPerSecond:F0}"
                    $"{roofline.L2GbPerSecond:F0}"
                    $"{roofline.MemoryGbPerSecond:F0}"
                    roofline.Operations ] ]

    let private speeds (results: KernelResult list) =
        Show.table
            [ "layer"; "network"; "instruction set"; "GMAC/s"; "lowest"; "highest"; "roofline"; "share" ]
            [ for layer in results do
                  for speed in layer.Speeds ->
                      [ layer.Layer
                        layer.Network
                        speed.InstructionSet
                        $"{speed.GmacsPerSecond.Median:F0}"
                        $"{speed.GmacsPerSecond.Min:F0}"
                        $"{speed.GmacsPerSecond.Max:F0}"
                        $"{speed.RoofGmacsPerSecond:F0}"
                        Show.percent speed.ShareOfRoofline ] ]

    let private print (results: KernelResults) =
        Output.prose "What a core gives at best, with each instruction set:"
        rooflines results.Rooflines
        Output.prose "Binary convolutions of the packed engine, on one thread:"
        speeds results.Layers
        Show.machine results.Environment

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) (cancellation: CancellationToken) =
        let layers = layers args

        let results =
            Show.counting "layer" layers.Length (fun progress ->
                KernelBench.measure
                    { Layers = layers
                      Seconds = args.Get Options.Measurement.seconds
                      Progress = progress
                      Cancellation = cancellation })

        if args.Has Options.Files.json then
            Output.json (Json.writeSnakeCase results)
        else
            print results
